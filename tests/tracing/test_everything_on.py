"""All that can look on at once: it sees the run, and the run is the one that nobody looks at."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack

import pytest
from clerks import Tree, look
from fake_openai import Answer
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from ec_agent import TraceStore, best_of_n, live
from ec_agent.capture.transport import async_http_client, http_client
from ec_agent.tracing import flush, instrument, uninstrument

QUESTION = "which of four?"
ASKED = {"messages": [("user", QUESTION)]}
PEAKS = {0: 18, 1: 12, 2: 6}
KEPT = {"keep_text": True, "keep_candidates": 5}


def replies(body):
    """Rollout 2 hesitates first and wins; a token of each comes without logprobs; rollout 3 breaks."""
    index = body["seed"]
    if index == 3:
        return Answer(status=400, error="out of order")
    if body["messages"][-1]["role"] == "tool":
        return Answer([0.5, None, 0.25, 0.125], text=f"answer {index}")
    entropies = [1.0 if place == PEAKS[index] else 0.1 + place / 100 for place in range(20)]
    return Answer(entropies, tool_calls=[("look", {"q": "<script>"})], text="")


@pytest.fixture
def replying(fake, monkeypatch):
    monkeypatch.setattr(fake, "otherwise", replies)
    return fake


def node_of(fake, clients=None, **kept):
    given = {"base_url": fake.url, "api_key": "k", "max_retries": 0, "logprobs": True, "top_logprobs": 20}
    model = ChatOpenAI(model="fake-model", **given, **(clients or {}))
    agent = create_agent(model, [look], name="clerk")
    return best_of_n(agent, n=4, sampling=lambda index: {"seed": index}, **kept)


def plain(selection):
    """The receipt without the time it took."""
    receipt = selection.to_dict()
    return {**receipt, "candidates": [{**each, "seconds": None} for each in receipt["candidates"]]}


def entropies_of(result):
    return [[call.entropies.tobytes() for call in each.calls] for each in result.trajectories]


def test_observing_everything_changes_no_receipt(replying, run, provider, server, tracer, tmp_path):
    expected = run(node_of(replying), ASKED)
    exporter, screen, events = provider[1], io.StringIO(), tmp_path / "events.jsonl"
    exporter.clear()
    with ExitStack() as all_on:
        instrument(provider[0], content=True)
        all_on.callback(uninstrument)
        store = all_on.enter_context(TraceStore(tmp_path / "traces.db", create=True))
        all_on.enter_context(store.recording(name=QUESTION))
        ears = [all_on.enter_context(live.view(file=screen)), all_on.enter_context(live.log(events))]
        below = {"http_client": http_client(), "http_async_client": async_http_client()}
        result = run(
            node_of(replying, below, **KEPT), ASKED, tracer, on_event=lambda event: [hear(event) for hear in ears]
        )
        (kept,) = store.selections()
        stored = list(store.rollouts(selection=kept.id))

    assert plain(result.selection) == plain(expected.selection)
    assert entropies_of(result) == entropies_of(expected)
    assert expected.selection.order == (2, 1, 0)
    assert "out of order" in expected.selection.candidates[3].error

    assert plain(kept.receipt) == plain(expected.selection)
    assert [[use.name for call in each.trajectory.calls for use in call.tools] for each in stored] == [["look"]] * 3 + [
        []
    ]
    assert all(each.trajectory.calls[0].candidates is not None for each in stored[:3])
    spans = Tree(exporter.get_finished_spans())
    assert [len(spans.named(name)) for name in ("best_of_n clerk", "invoke_agent clerk", "chat fake-model")] == [
        1,
        4,
        7,
    ]
    assert "answer 2" in spans.text()
    assert "chosen by lowest_centroid: rollout 2 of 4" in screen.getvalue()
    assert screen.getvalue().count("out of order") == 1
    told = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert [each["selection"]["winner"] for each in told if each["type"] == "ec_agent.selection"] == [2]
    assert flush(20)
    chosen = [each["score"] for each in server.parts("feedback") if each["key"] == "ec_agent.selected"]
    assert sorted(chosen) == [0, 0, 0, 1]
    page = result.selection.to_html(QUESTION)
    assert "Rollout 2 won" in page
    assert "&lt;script&gt;" in page
