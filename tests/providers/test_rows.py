"""Every row of the table, in every mode it names: the row fails where it says too little as well as too much."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from drive import Driven, turn_of
from langgraph.graph import MessagesState
from said import Turn, entropies
from table import MODES, ROWS, Row

from ec_agent import MissingLogprobsError, NoScoredRolloutError, best_of_n, record_calls

NONE = math.nan
CASES = [pytest.param(row, mode, id=f"{row.name}-{mode}") for row in ROWS for mode in row.modes]
ANSWERED = [case for case in CASES if not case.values[0].modes[case.values[1]].startswith("fails")]
FAILING = [case for case in CASES if case not in ANSWERED]
pytestmark = [
    pytest.mark.filterwarnings("ignore:WARNING! .* is not .*default parameter"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
]


@pytest.fixture
def driven(request, server, monkeypatch):
    """Makes a row ready, in its environment."""

    def make(row, mode):
        monkeypatch.setenv("LANGSMITH_TRACING", "false")
        for name, value in row.environment.items():
            monkeypatch.setenv(name, value.format(url=server.url))
        return Driven(row, mode, server)

    return make


def stands_for(row: Row, mode: str) -> tuple[list[float], list[float]]:
    """The entropies and sampled logprobs that the served payload stands for, one a generated token."""
    turn: Turn = turn_of(mode)
    count = len(turn.tokens)
    seen = {"full": turn.tokens, "sampled": turn.tokens, "content": turn.content, "none": ()}[row.modes[mode]]
    # Thinking without logprobs comes before what is said, a call behind it.
    before = [NONE] * (len(turn.thinking) if len(seen) < count else 0)
    after = [NONE] * (count - len(seen) - len(before))
    sampled = [*before, *(token.logprob for token in seen), *after]
    if row.modes[mode] == "sampled":
        return [NONE] * count, sampled
    return [*before, *entropies([row.served(token) for token in seen]), *after], sampled


def check(row, mode, recorder):
    (call,) = recorder.trajectory().calls
    expected, sampled = stands_for(row, mode)
    assert list(call.entropies) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert list(call.signal("logprob")) == pytest.approx(sampled, abs=1e-9, nan_ok=True)
    assert call.tokens == len(turn_of(mode).tokens)


@pytest.mark.members(10)
@pytest.mark.parametrize(("row", "mode"), ANSWERED)
def test_what_arrives(row, mode, driven):
    asking = driven(row, mode)
    with record_calls(signals=["entropy", "logprob"]) as recorder:
        asking.ask()
    check(row, mode, recorder)


@pytest.mark.members(10)
@pytest.mark.parametrize(("row", "mode"), ANSWERED)
async def test_what_arrives_async(row, mode, driven):
    asking = driven(row, mode)
    with record_calls(signals=["entropy", "logprob"]) as recorder:
        await asking.aask()
    check(row, mode, recorder)


@pytest.mark.parametrize(("row", "mode"), FAILING)
def test_what_fails(row, mode, driven):
    asking = driven(row, mode)
    with pytest.raises(Exception, match=row.modes[mode].removeprefix("fails: ")), record_calls():
        asking.ask()


@pytest.mark.parametrize(("row", "mode"), FAILING)
async def test_what_fails_async(row, mode, driven):
    asking = driven(row, mode)
    with pytest.raises(Exception, match=row.modes[mode].removeprefix("fails: ")), record_calls():
        await asking.aask()


HI = {"messages": [("user", "hi")]}


def agents(asking):
    """A node function that asks, sync and async."""

    def ask(state: MessagesState):
        asking.ask()
        return {"messages": [("ai", "done")]}

    async def aask(state: MessagesState):
        await asking.aask()
        return {"messages": [("ai", "done")]}

    return ask, aask


def scored(row, mode):
    return row.modes[mode] in ("full", "content")


@pytest.mark.members(8)
@pytest.mark.parametrize(("row", "mode"), [case for case in ANSWERED if scored(*case.values)])
async def test_rollouts_are_scored(row, mode, driven):
    ask, aask = agents(driven(row, mode))
    for result in (best_of_n(ask, n=1).run(HI), await best_of_n(aask, n=1).arun(HI)):
        (candidate,) = result.selection.candidates
        assert candidate.reason is None
        assert 0 < candidate.centroid < 1


@pytest.mark.members(6)
@pytest.mark.parametrize(("row", "mode"), [case for case in ANSWERED if not scored(*case.values)])
async def test_rollouts_end_unscored_and_never_confident(row, mode, driven):
    ask, aask = agents(driven(row, mode))
    for error, on_missing in ((NoScoredRolloutError, "exclude"), (MissingLogprobsError, "raise")):
        with pytest.raises(error, match="logprobs"):
            best_of_n(ask, n=1, on_missing=on_missing).run(HI)
        with pytest.raises(error, match="logprobs"):
            await best_of_n(aask, n=1, on_missing=on_missing).arun(HI)


def test_rows_are_told_apart_and_speak_of_known_modes():
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(set(row.modes) <= set(MODES) for row in ROWS)


WRONG = [("full", "none"), ("full", "sampled"), ("content", "full"), ("none", "sampled"), ("none", "full")]


@pytest.mark.parametrize(("true", "false"), [*WRONG, *((false, true) for true, false in WRONG)])
def test_a_row_that_says_the_wrong_thing_fails(true, false, driven):
    told = [(row, mode) for row, mode in (case.values for case in ANSWERED) if row.modes[mode] == true]
    # Where there is thinking, no two of these mean the same.
    row, mode = next((case for case in told if case[1] == "thinking"), told[0])
    with record_calls(signals=["entropy", "logprob"]) as recorder:
        driven(row, mode).ask()
    check(row, mode, recorder)
    with pytest.raises(AssertionError):
        check(replace(row, modes={mode: false}), mode, recorder)
