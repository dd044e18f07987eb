"""Best-of-N for LangGraph agents without a reward model: select rollouts by their entropy centroid.

Names are imported when they are first used, so ``import ec_agent`` loads neither LangGraph nor LangChain, and
the numbers alone need NumPy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ec_agent.support.lazy import lazy_names

if TYPE_CHECKING:
    from ec_agent.capture.block import record_calls as record_calls
    from ec_agent.capture.filters import CallFilter as CallFilter
    from ec_agent.capture.filters import CallInfo as CallInfo
    from ec_agent.capture.recorder import Recorder as Recorder
    from ec_agent.commits.effects import commit_tool as commit_tool
    from ec_agent.commits.effects import read_only as read_only
    from ec_agent.commits.journal import Journal as Journal
    from ec_agent.commits.journal import MemoryJournal as MemoryJournal
    from ec_agent.commits.journal import SaverJournal as SaverJournal
    from ec_agent.commits.journal import SQLiteJournal as SQLiteJournal
    from ec_agent.commits.once import get_idempotency_key as get_idempotency_key
    from ec_agent.commits.settling import asettle_commit as asettle_commit
    from ec_agent.commits.settling import settle_commit as settle_commit
    from ec_agent.commits.tool_node import CommitToolNode as CommitToolNode
    from ec_agent.environments.sqlite import SQLiteCopies as SQLiteCopies
    from ec_agent.environments.worlds import get_environment as get_environment
    from ec_agent.errors import AgentError as AgentError
    from ec_agent.errors import AllRolloutsFailedError as AllRolloutsFailedError
    from ec_agent.errors import CaptureWarning as CaptureWarning
    from ec_agent.errors import CommitError as CommitError
    from ec_agent.errors import CommitUncertain as CommitUncertain
    from ec_agent.errors import CommitWarning as CommitWarning
    from ec_agent.errors import ConfigError as ConfigError
    from ec_agent.errors import DoctorError as DoctorError
    from ec_agent.errors import DurabilityWarning as DurabilityWarning
    from ec_agent.errors import EcAgentError as EcAgentError
    from ec_agent.errors import EcAgentWarning as EcAgentWarning
    from ec_agent.errors import EnvironmentGoneError as EnvironmentGoneError
    from ec_agent.errors import EnvironmentWarning as EnvironmentWarning
    from ec_agent.errors import EvaluationError as EvaluationError
    from ec_agent.errors import IdenticalRolloutsWarning as IdenticalRolloutsWarning
    from ec_agent.errors import IsolationWarning as IsolationWarning
    from ec_agent.errors import JournalError as JournalError
    from ec_agent.errors import LocalModelError as LocalModelError
    from ec_agent.errors import LogprobsError as LogprobsError
    from ec_agent.errors import MemoryWarning as MemoryWarning
    from ec_agent.errors import MissingLogprobsError as MissingLogprobsError
    from ec_agent.errors import NoFinalActionError as NoFinalActionError
    from ec_agent.errors import NoScoredRolloutError as NoScoredRolloutError
    from ec_agent.errors import NotStoredError as NotStoredError
    from ec_agent.errors import PreflightError as PreflightError
    from ec_agent.errors import ProgressWarning as ProgressWarning
    from ec_agent.errors import PromotionError as PromotionError
    from ec_agent.errors import QuorumError as QuorumError
    from ec_agent.errors import RolloutCancelledError as RolloutCancelledError
    from ec_agent.errors import RolloutError as RolloutError
    from ec_agent.errors import RolloutInterruptedError as RolloutInterruptedError
    from ec_agent.errors import RolloutTimeoutError as RolloutTimeoutError
    from ec_agent.errors import SelectionError as SelectionError
    from ec_agent.errors import StateMismatchError as StateMismatchError
    from ec_agent.errors import StreamCutError as StreamCutError
    from ec_agent.errors import TokenBudgetError as TokenBudgetError
    from ec_agent.errors import TokenLimitError as TokenLimitError
    from ec_agent.errors import TraceError as TraceError
    from ec_agent.errors import TraceWarning as TraceWarning
    from ec_agent.errors import UndeclaredToolWarning as UndeclaredToolWarning
    from ec_agent.evaluator import CentroidEvaluator as CentroidEvaluator
    from ec_agent.evaluator import trajectory_of as trajectory_of
    from ec_agent.numbers.entropy import token_entropy as token_entropy
    from ec_agent.numbers.many import score_many as score_many
    from ec_agent.numbers.online import OnlineTrajectory as OnlineTrajectory
    from ec_agent.numbers.phases import HEPConfig as HEPConfig
    from ec_agent.numbers.phases import Phases as Phases
    from ec_agent.numbers.phases import entropy_centroid as entropy_centroid
    from ec_agent.numbers.phases import high_entropy_phases as high_entropy_phases
    from ec_agent.numbers.trajectory import Call as Call
    from ec_agent.numbers.trajectory import Trajectory as Trajectory
    from ec_agent.numbers.trajectory import reward as reward
    from ec_agent.rollouts.best_of_n import BestOfN as BestOfN
    from ec_agent.rollouts.best_of_n import BestOfNResult as BestOfNResult
    from ec_agent.rollouts.best_of_n import best_of_n as best_of_n
    from ec_agent.rollouts.limits import Limits as Limits
    from ec_agent.rollouts.selection import CandidateReceipt as CandidateReceipt
    from ec_agent.rollouts.selection import Selection as Selection
    from ec_agent.rollouts.writes import Writes as Writes
    from ec_agent.selectors import Candidate as Candidate
    from ec_agent.selectors import LowestCentroid as LowestCentroid
    from ec_agent.selectors import Ranking as Ranking
    from ec_agent.selectors import Selector as Selector
    from ec_agent.selectors.settings import load_settings as load_settings
    from ec_agent.traces.store import TraceStore as TraceStore

_HOMES = {
    "capture.block": ("record_calls",),
    "capture.filters": (
        "CallFilter",
        "CallInfo",
    ),
    "capture.recorder": ("Recorder",),
    "commits.effects": (
        "commit_tool",
        "read_only",
    ),
    "commits.journal": (
        "Journal",
        "MemoryJournal",
        "SQLiteJournal",
        "SaverJournal",
    ),
    "commits.once": ("get_idempotency_key",),
    "commits.settling": (
        "asettle_commit",
        "settle_commit",
    ),
    "commits.tool_node": ("CommitToolNode",),
    "numbers.entropy": ("token_entropy",),
    "environments.sqlite": ("SQLiteCopies",),
    "environments.worlds": ("get_environment",),
    "errors": (
        "AgentError",
        "AllRolloutsFailedError",
        "CaptureWarning",
        "CommitError",
        "CommitUncertain",
        "CommitWarning",
        "ConfigError",
        "DoctorError",
        "DurabilityWarning",
        "EcAgentError",
        "EcAgentWarning",
        "EnvironmentGoneError",
        "EnvironmentWarning",
        "EvaluationError",
        "IdenticalRolloutsWarning",
        "IsolationWarning",
        "JournalError",
        "LocalModelError",
        "LogprobsError",
        "MissingLogprobsError",
        "NoFinalActionError",
        "NoScoredRolloutError",
        "NotStoredError",
        "PreflightError",
        "MemoryWarning",
        "ProgressWarning",
        "PromotionError",
        "QuorumError",
        "RolloutCancelledError",
        "RolloutError",
        "RolloutInterruptedError",
        "RolloutTimeoutError",
        "SelectionError",
        "StateMismatchError",
        "StreamCutError",
        "TokenBudgetError",
        "TokenLimitError",
        "TraceError",
        "TraceWarning",
        "UndeclaredToolWarning",
    ),
    "evaluator": (
        "CentroidEvaluator",
        "trajectory_of",
    ),
    "numbers.many": ("score_many",),
    "numbers.online": ("OnlineTrajectory",),
    "numbers.phases": (
        "HEPConfig",
        "Phases",
        "entropy_centroid",
        "high_entropy_phases",
    ),
    "rollouts.best_of_n": (
        "BestOfN",
        "BestOfNResult",
        "best_of_n",
    ),
    "rollouts.limits": ("Limits",),
    "rollouts.selection": (
        "CandidateReceipt",
        "Selection",
    ),
    "rollouts.writes": ("Writes",),
    "selectors": (
        "Candidate",
        "LowestCentroid",
        "Ranking",
        "Selector",
    ),
    "selectors.settings": ("load_settings",),
    "traces.store": ("TraceStore",),
    "numbers.trajectory": (
        "Call",
        "Trajectory",
        "reward",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)
__version__ = "0.1.0"

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF, needing=("capture.",))
