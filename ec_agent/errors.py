"""Every error and warning a user of ec_agent can meet, in one tree.

    EcAgentError
    ├── ConfigError (also ValueError)        an argument is wrong
    ├── AgentError (also TypeError)          the agent cannot be run, or its output cannot be used
    │   └── StateMismatchError               the winner's writes do not fit the outer state
    ├── RolloutError                         what one rollout ended with; kept in its record
    │   ├── NoFinalActionError               it wrote nothing
    │   ├── RolloutInterruptedError          it stopped at an ``interrupt()``
    │   └── MissingLogprobsError             a call came back without logprobs (``on_missing="raise"``)
    ├── SelectionError                       no winner can be named
    │   ├── AllRolloutsFailedError           every rollout failed
    │   └── NoScoredRolloutError             rollouts ended, none could be scored
    ├── LogprobsError (also ValueError)      a saved payload holds no readable logprobs
    └── LocalModelError                      the embedded model cannot be fetched, verified or served

    EcAgentWarning (UserWarning)
    ├── IdenticalRolloutsWarning             rollouts came out the same: nothing to select from
    ├── IsolationWarning                     a state value could not be copied and is shared by the rollouts
    └── CaptureWarning                       a call's logprobs could not be read

Each message ends with what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ec_agent.selectors.base import Candidate


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
    """The rollout stopped at an ``interrupt()``."""


class MissingLogprobsError(RolloutError):
    """A call came back without logprobs and ``on_missing="raise"`` was set."""


class SelectionError(EcAgentError):
    """No winner can be named.

    Attributes:
        candidates: every rollout as the selector saw it, in index order.
        outputs: what each rollout wrote, as ``(key, value)`` pairs (``None`` for a failed one), in index order, so
            nothing is lost.
    """

    def __init__(self, message: str, candidates: Sequence[Candidate] = (), outputs: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)
        self.outputs = tuple(outputs)


class AllRolloutsFailedError(SelectionError):
    """Every rollout failed; the message names each cause."""


class NoScoredRolloutError(SelectionError):
    """Rollouts ended, but none of them could be scored."""


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


class CaptureWarning(EcAgentWarning):
    """A call's logprobs could not be read; its tokens have no entropy."""
