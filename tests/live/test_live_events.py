"""Progress events of calls and tools: on the custom stream and to ``on_event``, sync and async, plain and small."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections import Counter
from pathlib import Path

import live_programs
import numpy as np
import pytest
from langchain_core.tools import tool
from langgraph.errors import GraphInterrupt

from ec_agent import best_of_n
from ec_agent.capture.installing import recording
from ec_agent.capture.recorder import Recorder
from ec_agent.errors import ConfigError, ProgressWarning
from ec_agent.rollouts import progress
from ec_agent.rollouts.observer import Observer
from ec_agent.rollouts.observing import Audience, Installed
from ec_agent.testing import Reply, ScriptedChatModel

ASKED = {"messages": [("user", "?")]}


class Heard(list):
    def of(self, index, kind):
        return [event for event in self if event.get("index") == index and event["type"] == f"ec_agent.rollout.{kind}"]


@pytest.fixture
def heard(run):
    events = Heard()
    run.run(best_of_n(live_programs.agent(), n=4), ASKED, on_event=events.append)
    return events


def test_a_call_tells_its_start_and_end_with_running_counts(heard):
    calls = heard.of(0, "call")
    assert [call["state"] for call in calls] == ["started", "ended"] * 2
    assert len({call["call"] for call in calls}) == 2
    assert calls[0]["call"] == calls[1]["call"]
    ended = calls[1::2]
    assert [(call["calls"], call["tokens"], call["generated"]) for call in ended] == [(1, 10, 10), (2, 20, 10)]
    assert ended[0]["entropies"] == pytest.approx(live_programs.entropies_of(0), abs=2e-3)
    assert {(call["model"], call["node"]) for call in calls} == {("scripted", "ask")}
    assert all(call["seconds"] >= 0 for call in ended)


def test_a_tool_tells_its_start_and_end(heard):
    started, ended = heard.of(3, "tool")
    assert (started["state"], ended["state"]) == ("started", "ended")
    assert started["tool"] == ended["tool"] == "look_up_price"
    assert started["run"] == ended["run"]
    order = [event["type"].rpartition(".")[2] for event in heard if event.get("index") == 3]
    assert order == ["started", "call", "call", "tool", "tool", "call", "call", "finished", "scored"]


def test_a_failed_call_ends_without_an_answer(heard):
    last = heard.of(1, "call")[-1]
    assert (last["state"], last["answered"], last["calls"], last["generated"]) == ("ended", False, 1, None)


def test_tokens_without_logprobs_are_gaps(heard):
    assert heard.of(2, "call")[1]["entropies"] == [None] * 10


def test_all_events_of_a_question_carry_its_name_and_the_time(heard):
    assert len({event["question"] for event in heard}) == 1
    times = [event["time"] for event in heard]
    assert max(times) - min(times) < 60
    assert {(event["n"], event["round"], event["acting"]) for i in range(4) for event in heard.of(i, "started")} == {
        (4, 0, False)
    }


def test_every_event_can_be_written_as_json(heard):
    assert json.loads(json.dumps(heard)) == heard


def test_the_page_lists_every_event_and_all_it_carries(heard):
    page = (Path(__file__).parents[2] / "docs" / "live.md").read_text()
    for event in heard:
        assert f"| `{event['type'].removeprefix('ec_agent.')}` |" in page
        for name in event.keys() - {"type", "index"}:
            assert f"`{name}`" in page, (event["type"], name)


def test_an_outer_graph_streams_them(run):
    graph = live_programs.outer(best_of_n(live_programs.agent(), n=4))
    for deep in (False, True):
        parts = run.stream(graph, ASKED, stream_mode="custom", subgraphs=deep)
        events = [part[1] for part in parts] if deep else parts
        assert Counter(event["type"] for event in events) == {
            "ec_agent.rollout.started": 4,
            "ec_agent.rollout.call": 16,
            "ec_agent.rollout.tool": 8,
            "ec_agent.rollout.finished": 4,
            "ec_agent.rollout.scored": 4,
            "ec_agent.selection": 1,
        }
        if deep:  # as those that were there before: of the node, not of what the agent has inside
            assert len({part[0] for part in parts}) == 1


def test_a_failing_tool_is_told_as_such(run):
    @tool
    def broken(q: str) -> str:
        """A tool."""
        raise LookupError("no price")

    model = ScriptedChatModel([[Reply("x", entropies=[0.1, 2.0])]])

    def function(state):
        try:
            broken.invoke({"q": "x"})
        except LookupError:
            model.invoke("?")
        return {"answer": 1}

    events = Heard()
    run.run(best_of_n(function, n=1), {"question": "?"}, on_event=events.append)
    assert [each["state"] for each in events.of(0, "tool")] == ["started", "failed"]


def test_a_tool_that_asks_a_person_has_not_failed():
    told = []

    @tool
    def send(q: str) -> str:
        """Asks first."""
        raise GraphInterrupt

    class Asked(Observer):
        def tool_started(self, rollout, run, name):
            told.append(("tool", "started"))

        def tool_ended(self, rollout, run, failed):
            told.append(("tool", "failed" if failed else "ended"))

    with recording(Recorder()) as recorder:
        installed = Installed("on_event", lambda question: Asked())
        recorder.told = Audience([(installed, Asked())]).rollout(0, 0, acting=False)
        with pytest.raises(GraphInterrupt):
            send.invoke({"q": "x"})
    assert told == [("tool", "started"), ("tool", "ended")]


def streaming(tokens):
    """A function agent whose model streams so many tokens."""
    model = ScriptedChatModel([[Reply(" ".join("x" * tokens), entropies=[0.1] * tokens)]])

    def function(state):
        whole = None
        for chunk in model.stream("?"):
            whole = chunk if whole is None else whole + chunk
        return {"answer": whole.text}

    return function


def test_a_streamed_call_tells_how_far_it_is_now_and_then(run, monkeypatch):
    for every, least, most in ((0.0, 5, 99), (100.0, 1, 1)):
        monkeypatch.setattr(progress, "STREAMING_EVERY", every)
        events = Heard()
        run.run(best_of_n(streaming(12), n=1), {"question": "?"}, on_event=events.append)
        calls = events.of(0, "call")
        parts = [call["parts"] for call in calls if call["state"] == "streaming"]
        assert least <= len(parts) <= most
        assert parts == sorted(set(parts))
        assert calls[-1]["state"] == "ended"
        assert calls[-1]["generated"] == 12


def test_calls_that_do_not_count_are_not_told(run):
    events = Heard()
    node = best_of_n(live_programs.agent(failing=None), n=1, calls=lambda call: False, on_unscored="first")
    run.run(node, ASKED, on_event=events.append)
    assert not events.of(0, "call")
    assert events.of(0, "tool")


def test_nobody_listens_and_nothing_is_made(run, monkeypatch):
    made = []

    class Counted(progress.ProgressEvents):
        def __init__(self, emit):
            made.append(self)
            super().__init__(emit)

    monkeypatch.setattr(progress, "ProgressEvents", Counted)
    run.invoke(live_programs.outer(best_of_n(live_programs.agent(), n=2)), ASKED)
    assert run.stream(live_programs.outer(best_of_n(live_programs.agent(), n=2)), ASKED, stream_mode="values")
    assert not made
    run.stream(live_programs.outer(best_of_n(live_programs.agent(), n=2)), ASKED, stream_mode="custom")
    assert len(made) == 1


@pytest.mark.parametrize("wrong", [5, asyncio.sleep], ids=["no function", "a coroutine function"])
def test_a_listener_that_cannot_be_called_is_refused_before_anything_runs(run, wrong):
    with pytest.raises(ConfigError, match="plain function of one event"):
        run.run(best_of_n(live_programs.agent(), n=1), ASKED, on_event=wrong)


def test_a_listener_that_fails_costs_nothing_but_itself(run):
    told = []

    def broken(event):
        told.append(event)
        raise BrokenPipeError("gone")

    with pytest.warns(ProgressWarning, match=r"on_event failed .*BrokenPipeError.* Correct the code that failed"):
        result = run.run(best_of_n(live_programs.agent(), n=1), ASKED, on_event=broken)
    assert result.output["messages"][-1].content == "answer 0"
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.run(best_of_n(live_programs.agent(), n=1), ASKED, on_event=told.append)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 1000])
def test_means_keep_the_whole_timeline(length):
    entropies = np.random.default_rng(length).random(length)
    told = progress.means(entropies)
    assert len(told) == min(length, progress.MOST_MEANS)
    if length and length % 32 in (0, length):
        assert np.mean(told) == pytest.approx(entropies.mean(), abs=1e-3)


def test_gaps_are_left_out_of_means():
    assert progress.means(np.array([np.nan, 1.0, 3.0, np.nan]), most=2) == [1.0, 3.0]
    assert progress.means(np.array([np.nan, np.nan, 0.5, 1.0]), most=2) == [None, 0.75]
