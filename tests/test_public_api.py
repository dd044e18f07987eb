"""The public surface: what it is, that it loads lazily, and that the errors are drawn."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import ec_agent
from ec_agent import errors

PUBLIC = [
    "AgentError",
    "Agreement",
    "AllRolloutsFailedError",
    "AsyncSelector",
    "BestOfN",
    "BestOfNResult",
    "Call",
    "CallFilter",
    "CallInfo",
    "Candidate",
    "CandidateReceipt",
    "CaptureWarning",
    "CentroidEvaluator",
    "CommitError",
    "CommitToolNode",
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
    "HEPConfig",
    "HandOver",
    "IdenticalRolloutsWarning",
    "IsolationWarning",
    "Journal",
    "JournalError",
    "Limits",
    "LocalModelError",
    "LogprobsError",
    "LowestCentroid",
    "MemoryJournal",
    "MemoryWarning",
    "MissingLogprobsError",
    "More",
    "NoFinalActionError",
    "NoScoredRolloutError",
    "NotStoredError",
    "OnlineTrajectory",
    "OtherModelWarning",
    "OutOfReach",
    "Phases",
    "PreflightError",
    "ProgressWarning",
    "PromotionError",
    "QuorumError",
    "Ranking",
    "Recorder",
    "RolloutCancelledError",
    "RolloutError",
    "RolloutInterruptedError",
    "RolloutTimeoutError",
    "SQLiteCopies",
    "SQLiteJournal",
    "SaverJournal",
    "Selection",
    "SelectionError",
    "Selector",
    "SelectorError",
    "SelectorWarning",
    "StateMismatchError",
    "Stop",
    "StoppingError",
    "StoppingPlan",
    "StreamCutError",
    "TokenBudgetError",
    "TokenLimitError",
    "TraceError",
    "TraceStore",
    "TraceWarning",
    "Trajectory",
    "UndeclaredToolWarning",
    "WorkerLostError",
    "Writes",
    "asettle_commit",
    "best_of_n",
    "commit_tool",
    "entropy_centroid",
    "get_environment",
    "get_idempotency_key",
    "high_entropy_phases",
    "load_settings",
    "read_only",
    "record_calls",
    "reward",
    "score_many",
    "settle_commit",
    "token_entropy",
    "trajectory_of",
]


def test_all_is_this_list():
    assert sorted(ec_agent.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_resolves_and_knows_its_name(name):
    value = getattr(ec_agent, name)
    assert value.__name__ == name
    assert value.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ec_agent.nothing


def test_dir_lists_the_surface():
    assert set(PUBLIC) <= set(dir(ec_agent))


HEAVY = ("langgraph", "langchain_core", "langchain", "openai", "numpy", "pydantic")


def loaded_by(code):
    """Which heavy packages a fresh interpreter has loaded after the code."""
    report = f"import sys; {code}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return eval(done.stdout)


def test_the_import_loads_nothing_heavy():
    assert loaded_by("import ec_agent") == []
    assert loaded_by("import ec_agent; dir(ec_agent); ec_agent.__version__") == []


def test_the_numbers_load_numpy_only():
    names = "token_entropy, HEPConfig, Trajectory, reward, entropy_centroid, CentroidEvaluator, LowestCentroid"
    assert loaded_by(f"from ec_agent import {names}") == ["numpy"]


def test_the_errors_load_nothing():
    assert loaded_by("from ec_agent.errors import ConfigError") == []


def test_every_error_is_drawn_in_the_tree():
    own = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    drawn = re.findall(r"^( *)(?:[│ ]*[├└]── )?(\w+(?:Error|Warning|Uncertain))\b", errors.__doc__ or "", re.MULTILINE)
    assert {name for _, name in drawn} == set(own)
    assert set(own) <= set(PUBLIC)


def test_the_tree_is_drawn_as_it_is():
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([ │├└─]*)(\w+(?:Error|Warning|Uncertain))\b(?: \(also (\w+)\))?", line)
        if not found:
            continue
        depth, name, also = len(found[1]), found[2], found[3]
        while stack and stack[-1][0] >= depth:
            stack.pop()
        value = getattr(errors, name)
        if stack:
            assert getattr(errors, stack[-1][1]) in value.__bases__, name
        if also:
            assert also in {base.__name__ for base in value.__mro__}, name
        stack.append((depth, name))


def test_a_wildcard_import_gives_the_surface():
    space: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec("from ec_agent import *", space)
    assert set(PUBLIC) <= set(space)


@pytest.mark.parametrize("package", ["", "doctor", "evaluation", "live", "local", "prompted", "stopping", "tracing"])
def test_each_name_is_listed_once_in_the_stub_and_is_there(package):
    module = importlib.import_module(f"ec_agent.{package}".rstrip("."))
    stub = Path(module.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    named = re.findall(r"import (\w+)", stub)
    assert sorted(named) == module.__all__ == sorted(set(named))
    assert all(hasattr(module, name) for name in named)
