"""Every error and warning a user of ec_agent can meet, in one tree.

    EcAgentError
    ├── ConfigError (also ValueError)        an argument is wrong
    ├── AgentError (also TypeError)          the agent cannot be run, or its output cannot be used
    │   └── StateMismatchError               the winner's writes do not fit the outer state
    ├── RolloutError                         what one rollout ended with; kept in its record
    │   ├── NoFinalActionError               it wrote nothing
    │   ├── RolloutInterruptedError          it stopped at an ``interrupt()`` that nobody can answer
    │   ├── RolloutTimeoutError (also TimeoutError)   it took longer than ``timeout``
    │   ├── RolloutCancelledError            something in it cancelled it
    │   ├── TokenLimitError                  it generated more than ``max_tokens``
    │   ├── TokenBudgetError                 the ``token_budget`` of all rollouts was spent
    │   ├── StreamCutError                   a streamed answer broke off in the middle
    │   └── MissingLogprobsError             a call came back without logprobs (``on_missing="raise"``)
    ├── SelectionError                       no winner can be named
    │   ├── AllRolloutsFailedError           every rollout failed
    │   ├── NoScoredRolloutError             rollouts ended, none could be scored
    │   └── QuorumError                      fewer rollouts could be scored than ``quorum`` asks for
    ├── CommitError                          the winner's action cannot be carried out
    │   ├── CommitUncertain                  it may have been carried out already, and nobody can know
    │   └── JournalError                     what was done cannot be read or written down
    ├── EnvironmentGoneError                 rollouts are of no use, for their environments do not stay open
    ├── PromotionError                       the winner's environment cannot become the real one
    ├── PreflightError                   a model would leave rollouts unscored (``preflight=``)
    ├── DoctorError                      an endpoint or a model cannot be asked at all
    ├── EvaluationError                  an evaluation cannot go on: a task or the harness is at fault, not the agent
    │   └── NotStoredError (also TraceError)   finished rollouts could not be stored; the error has them
    ├── TraceError                       a file of stored rollouts cannot be used
    ├── LogprobsError (also ValueError)      a saved payload holds no readable logprobs
    └── LocalModelError                      the embedded model cannot be fetched, verified or served

    EcAgentWarning (UserWarning)
    ├── IdenticalRolloutsWarning             rollouts came out the same: nothing to select from
    ├── IsolationWarning                     a state value could not be copied and is shared by the rollouts
    ├── EnvironmentWarning                   an environment could not be closed
    ├── CommitWarning                        a run ended at ``max_rounds``
    ├── UndeclaredToolWarning                a tool ran in several rollouts, and nobody said that it may
    ├── DurabilityWarning                    a kill now would lose, or repeat, what was done
    ├── MemoryWarning                        an agent will not remember what it would remember alone
    ├── TraceWarning                         a selection could not be recorded, or spans not be made
    ├── CaptureWarning                       a call's logprobs could not be read
    └── ProgressWarning                      ``on_event=`` failed, and is not called again

Each message ends with what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class EcAgentError(Exception):
    """Base class of every error this package raises on purpose."""


class ConfigError(EcAgentError, ValueError):
    """An argument has a value it cannot have."""


class AgentError(EcAgentError, TypeError):
    """The agent given to ``best_of_n`` cannot be run, or its output cannot be used."""


class StateMismatchError(AgentError):
    """The winner's writes do not fit the outer state."""


class RolloutError(EcAgentError):
    """What a single rollout ended with. It is kept in that rollout's record; the others go on."""


class NoFinalActionError(RolloutError):
    """The rollout ended without writing anything."""


class RolloutInterruptedError(RolloutError):
    """The rollout stopped at an ``interrupt()`` that nobody can answer: its environment cannot be kept."""


class RolloutTimeoutError(RolloutError, TimeoutError):
    """The rollout took longer than ``Limits(timeout=...)``."""


class RolloutCancelledError(RolloutError):
    """Something within the rollout cancelled it; the run around it goes on."""


class TokenLimitError(RolloutError):
    """The rollout generated more tokens than ``Limits(max_tokens=...)``."""


class TokenBudgetError(RolloutError):
    """The rollouts together had spent ``Limits(token_budget=...)``: this one was not started, or cut."""


class StreamCutError(RolloutError):
    """A streamed answer broke off in the middle, and the client took that for its end."""


class MissingLogprobsError(RolloutError):
    """A call came back without logprobs and ``on_missing="raise"`` was set."""


class SelectionError(EcAgentError):
    """No winner can be named.

    Attributes:
        candidates: every rollout as the selector saw it, in index order.
        outputs: what each rollout wrote, as ``(key, value)`` pairs (``None`` for a failed one), in index order, so
            nothing is lost.
        commits: what earlier rounds of a ``continue_after_commit`` carried out, as the receipt has it.
    """

    def __init__(self, message: str, candidates: Sequence[Any] = (), outputs: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)
        self.outputs = tuple(outputs)
        self.commits: tuple[dict[str, Any], ...] = ()

    def follow(self, commits: Sequence[dict[str, Any]]) -> None:
        """Say what was carried out before it."""
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


class QuorumError(SelectionError):
    """Fewer rollouts could be scored than ``Limits(quorum=...)`` asks for; the message names each cause."""


class CommitError(EcAgentError):
    """The winner's action cannot be carried out."""


class CommitUncertain(CommitError):  # noqa: N818  # a state of things that has to be looked into, rather than a fault
    """Actions may have been carried out already, and their outcome is not known; none was repeated.

    Attributes:
        key: the idempotency key of the first.
        actions: all of them, each with its ``key``, the ``tool``, its ``args`` as text, when it was begun (``at``, Unix
            seconds), and the ``error`` that the tool raised, or ``None``.
    """

    def __init__(self, message: str, key: str = "", actions: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.key = key
        self.actions = tuple(actions)


class JournalError(CommitError):
    """The journal of commits cannot be read or written."""


class EnvironmentGoneError(EcAgentError):
    """Rollouts have ended, and their environments are gone at once: running them again would never end."""


class PromotionError(EcAgentError):
    """The winner's environment cannot become the real one; nothing was changed."""


class DoctorError(EcAgentError):
    """The endpoint cannot be reached or does not let us in, or there is no model at the place that was named."""


class PreflightError(EcAgentError):
    """A model would leave rollouts unscored.

    Attributes:
        reports: what was found, one ``ec_agent.doctor.Report`` a model.
    """

    def __init__(self, message: str, reports: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.reports = tuple(reports)


class EvaluationError(EcAgentError):
    """The evaluation cannot go on, and it is not the agent's failure: a task or the harness is at fault."""


class TraceError(EcAgentError):
    """A trace file cannot be used, or what was asked for is not in it."""


class NotStoredError(EvaluationError, TraceError):
    """An evaluation stopped because its file cannot be written; what was stored stays.

    Attributes:
        rollouts: those that had finished and are not stored: ``TraceStore(path).add(each)`` does it later.
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
    """Rollouts came out the same, so there was nothing to select from."""


class IsolationWarning(EcAgentWarning):
    """A value of the state could not be copied, so all rollouts share it."""


class EnvironmentWarning(EcAgentWarning):
    """A rollout's environment could not be closed."""


class CommitWarning(EcAgentWarning):
    """A run that goes on after its commits came to ``max_rounds``."""


class UndeclaredToolWarning(EcAgentWarning):
    """Tools that are neither in ``commit=`` nor marked ``@read_only`` ran in more than one rollout."""


class DurabilityWarning(EcAgentWarning):
    """The run's durability cannot keep what is promised here: a kill loses or repeats what was done."""


class MemoryWarning(EcAgentWarning):
    """An agent, or a graph within it, will not remember this turn as it would alone."""


class TraceWarning(EcAgentWarning):
    """A selection could not be recorded, or spans could not be made; the agent went on."""


class CaptureWarning(EcAgentWarning):
    """A call's logprobs could not be read; its tokens have no entropy."""


class ProgressWarning(EcAgentWarning):
    """The function given as ``on_event`` failed. It is not called again; the run goes on."""
