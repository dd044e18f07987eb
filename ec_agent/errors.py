"""All errors and warnings that a user of ec_agent can meet, in one tree.

    EcAgentError
    ├── ConfigError (also ValueError)        an argument is wrong
    │   └── StoppingError                    ``stop=`` failed while rollouts ran; the error has them
    ├── AgentError (also TypeError)          the agent cannot be run, or its output cannot be used
    │   └── StateMismatchError               the winner's writes do not fit the outer state
    ├── RolloutError                         one rollout failed; its record keeps the error
    │   ├── NoFinalActionError               it wrote nothing
    │   ├── RolloutInterruptedError          it stopped at an ``interrupt()`` that nobody can answer
    │   ├── RolloutTimeoutError (also TimeoutError)   it took longer than ``timeout``
    │   ├── RolloutCancelledError            code inside the rollout cancelled it
    │   ├── TokenLimitError                  it generated more than ``max_tokens``
    │   ├── TokenBudgetError                 the ``token_budget`` of all rollouts was spent
    │   ├── StreamCutError                   a streamed answer broke off in the middle
    │   ├── WorkerLostError                  each worker that ran it died (``engine=``)
    │   └── MissingLogprobsError             a call came back without logprobs (``on_missing="raise"``)
    ├── SelectionError                       no winner can be chosen
    │   ├── AllRolloutsFailedError           every rollout failed
    │   ├── NoScoredRolloutError             rollouts ended, but none could be scored
    │   ├── SelectorError                    the selector failed, for example because the model that it asks did
    │   └── QuorumError                      fewer rollouts could be scored than ``quorum`` asks for
    ├── CommitError                          the winner's action cannot be carried out
    │   ├── CommitUncertain                  it may have taken effect already, and nobody knows
    │   └── JournalError                     the journal of commits cannot be read or written
    ├── EnvironmentGoneError                 environments are closed as soon as their rollouts end
    ├── PromotionError                       the winner's environment cannot become the real one
    ├── PreflightError                       a model would leave rollouts unscored (``preflight=``)
    ├── DoctorError                          an endpoint cannot be reached, or a model cannot be asked
    ├── EvaluationError                      an evaluation cannot go on, because of a task or the harness
    │   └── NotStoredError (also TraceError)   finished rollouts could not be stored; the error holds them
    ├── TraceError                           a file of stored rollouts cannot be used
    ├── LogprobsError (also ValueError)      a saved payload holds no readable logprobs
    └── LocalModelError                      the embedded model cannot be fetched, verified or served

    EcAgentWarning (UserWarning)
    ├── IdenticalRolloutsWarning             rollouts have the same result, so there is little to select from
    ├── IsolationWarning                     a state value could not be copied and is shared by the rollouts
    ├── EnvironmentWarning                   an environment could not be closed
    ├── CommitWarning                        a question ended at ``max_rounds``, perhaps before it was finished
    ├── UndeclaredToolWarning                a tool ran in several rollouts, and nobody declared it harmless
    ├── DurabilityWarning                    a killed run would lose rollouts, or repeat actions
    ├── MemoryWarning                        an agent will forget what it would remember without ``best_of_n``
    ├── TraceWarning                         a selection could not be recorded, or its spans could not be made
    ├── CaptureWarning                       a call's logprobs could not be read
    ├── SelectorWarning                      the selector failed, and ``on_failure=`` chose in its place
    ├── OtherModelWarning                    the model that answered is not the one that was asked for
    └── ProgressWarning                      ``on_event=`` failed, and is not called again

Each message ends with what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class EcAgentError(Exception):
    """Base class of all errors that this package raises on purpose."""


class ConfigError(EcAgentError, ValueError):
    """An argument has a value that is not allowed."""


class StoppingError(ConfigError):
    """The plan given as ``stop=`` failed, or answered something else, once rollouts had run.

    Attributes:
        candidates: every rollout that ended or failed, as a selector would have seen it, in index order.
        outputs: what each of them wrote, as ``(key, value)`` pairs (``None`` for a failed one), in index order.
    """

    def __init__(self, message: str, candidates: Sequence[Any] = (), outputs: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)
        self.outputs = tuple(outputs)


class AgentError(EcAgentError, TypeError):
    """The agent given to ``best_of_n`` cannot be run, or its output cannot be used."""


class StateMismatchError(AgentError):
    """The winner's writes do not fit the outer state."""


class RolloutError(EcAgentError):
    """A single rollout failed. The rollout's record keeps the error, and the other rollouts go on."""


class NoFinalActionError(RolloutError):
    """The rollout ended without writing anything."""


class RolloutInterruptedError(RolloutError):
    """The rollout stopped at an ``interrupt()`` that nobody can answer, because its environment cannot be kept open."""


class RolloutTimeoutError(RolloutError, TimeoutError):
    """The rollout took longer than ``Limits(timeout=...)``."""


class RolloutCancelledError(RolloutError):
    """Code inside the rollout cancelled it. The other rollouts go on."""


class TokenLimitError(RolloutError):
    """The rollout generated more tokens than ``Limits(max_tokens=...)``."""


class TokenBudgetError(RolloutError):
    """The rollouts together had used up ``Limits(token_budget=...)``, so this one was not started, or was stopped."""


class StreamCutError(RolloutError):
    """A streamed answer broke off in the middle, but the client treated it as complete."""


class WorkerLostError(RolloutError):
    """Each worker on which an engine ran the rollout died. The rollout may be what ends them."""


class MissingLogprobsError(RolloutError):
    """A call came back without logprobs and ``on_missing="raise"`` was set."""


class SelectionError(EcAgentError):
    """No winner can be chosen.

    Attributes:
        candidates: every rollout as the selector saw it, in index order.
        outputs: the writes of each rollout, as ``(key, value)`` pairs, in index order; ``None`` for a failed one. They
            are here so that the rollouts' work is not lost.
        commits: the actions that earlier rounds carried out (``continue_after_commit=True``), as in the receipt.
    """

    def __init__(self, message: str, candidates: Sequence[Any] = (), outputs: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)
        self.outputs = tuple(outputs)
        self.commits: tuple[dict[str, Any], ...] = ()

    def follow(self, commits: Sequence[dict[str, Any]]) -> None:
        """Add the actions that earlier rounds carried out to the error and to its message."""
        self.commits = tuple(commits)
        if done := ", ".join(f"{each['tool']}({each['args']})" for each in commits):
            self.args = (
                f"{self.args[0]}\nBefore that, this was carried out: {done}. With a checkpointer, "
                "graph.invoke(None, config) goes on from there",
            )


class AllRolloutsFailedError(SelectionError):
    """Every rollout failed; the message names each cause."""


class NoScoredRolloutError(SelectionError):
    """Rollouts ended, but none of them could be scored."""


class SelectorError(SelectionError):
    """The selector failed. A selector that asks a model fails if no answer of the model can be used, for example.

    The rollouts are not lost: ``outputs`` has what they wrote, and with a checkpointer ``graph.invoke(None, config)``
    asks the selector again, without running them again.
    """


class QuorumError(SelectionError):
    """Fewer rollouts could be scored than ``Limits(quorum=...)`` asks for; the message names each cause."""


class CommitError(EcAgentError):
    """The winner's action cannot be carried out."""


class CommitUncertain(CommitError):  # noqa: N818  # it names a state that a person has to look into, not a fault
    """Actions may have taken effect already, and nobody knows. None of them was repeated.

    ``settle_commit``, or ``ec-agent commits settle``, records what a person has found out about each.

    Attributes:
        key: the idempotency key of the first action.
        actions: one dict per action: its ``key``, the ``tool``, its ``args`` as text, when it was begun (``at``, Unix
            seconds), and the ``error`` that the tool raised, or ``None``.
    """

    def __init__(self, message: str, key: str = "", actions: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.key = key
        self.actions = tuple(actions)


class JournalError(CommitError):
    """The journal of commits cannot be read or written."""


class EnvironmentGoneError(EcAgentError):
    """Environments are closed as soon as their rollouts end, so no winner's environment could be promoted.

    Rollouts that lost their environments run again once. If those that have just ended lose them too, a further try
    would end in the same way.
    """


class PromotionError(EcAgentError):
    """The winner's environment cannot become the real one; nothing was changed."""


class DoctorError(EcAgentError):
    """The endpoint cannot be reached or refuses access, or it has no model of that name."""


class PreflightError(EcAgentError):
    """A model would leave rollouts unscored.

    Attributes:
        reports: the findings, one ``ec_agent.doctor.Report`` per model.
    """

    def __init__(self, message: str, reports: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.reports = tuple(reports)


class EvaluationError(EcAgentError):
    """The evaluation cannot go on, because of a task or the harness. An agent's failure never raises this."""


class TraceError(EcAgentError):
    """A trace file cannot be used, or it does not have what was asked for."""


class NotStoredError(EvaluationError, TraceError):
    """An evaluation stopped because its file cannot be written. Rollouts that are stored already stay in the file.

    Attributes:
        rollouts: the finished rollouts that are not stored. Store each later with ``TraceStore(path).add(each)``.
    """

    def __init__(self, message: str, rollouts: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.rollouts = tuple(rollouts)


class LogprobsError(EcAgentError, ValueError):
    """A saved payload holds no logprobs that can be read."""


class LocalModelError(EcAgentError, RuntimeError):
    """The embedded model cannot be fetched, verified or served."""


class EcAgentWarning(UserWarning):
    """Base class of every warning this package gives."""


class IdenticalRolloutsWarning(EcAgentWarning):
    """Rollouts have the same result, so there was little or nothing to select from."""


class IsolationWarning(EcAgentWarning):
    """A value of the state could not be copied, so all rollouts share it."""


class EnvironmentWarning(EcAgentWarning):
    """A rollout's environment could not be closed."""


class CommitWarning(EcAgentWarning):
    """A question with ``continue_after_commit=True`` ended because it reached ``max_rounds``."""


class UndeclaredToolWarning(EcAgentWarning):
    """Tools that are neither in ``commit=`` nor marked ``@read_only`` ran in more than one rollout."""


class DurabilityWarning(EcAgentWarning):
    """The run's durability setting saves too late: if the run is killed, rollouts are lost, or actions repeated."""


class MemoryWarning(EcAgentWarning):
    """An agent, or a graph inside it, will forget this turn, which it would remember without ``best_of_n``."""


class TraceWarning(EcAgentWarning):
    """A selection could not be recorded, or spans could not be made; the agent went on."""


class CaptureWarning(EcAgentWarning):
    """The logprobs of a model call could not be read, so its tokens have no entropy."""


class SelectorWarning(EcAgentWarning):
    """The selector failed, and what its ``on_failure`` says chose in its place."""


class OtherModelWarning(EcAgentWarning):
    """The model that answered has another name than the one that was asked for (``preflight=``)."""


class ProgressWarning(EcAgentWarning):
    """An observer of the run, the function given as ``on_event`` say, raised an error. The run goes on without it."""
