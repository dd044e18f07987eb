"""Tracing, recording, ``on_event`` and a live view see the same, in whatever order they were installed."""

from __future__ import annotations

import asyncio
import io
import itertools
import re
from contextlib import ExitStack, contextmanager

import pytest
from clerks import ASKED, clerk, searching
from langgraph.graph import START, MessagesState, StateGraph
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ec_agent import TraceStore, best_of_n, live
from ec_agent.rollouts.observing import Installed, observed
from ec_agent.rollouts.progress import ProgressEvents
from ec_agent.tracing import instrument, uninstrument

WATCHERS = ("tracing", "recording", "on_event", "live")


class Watched:
    """One question and all who watch it, each installed by its own way, which may be in any order."""

    def __init__(self, folder):
        self.exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.provider = provider
        self.events, self.screen = [], io.StringIO()
        self.store = TraceStore(folder / "traces.db", create=True)

    @contextmanager
    def tracing(self):
        instrument(self.provider, content=True)
        try:
            yield
        finally:
            uninstrument()

    def recording(self):
        return self.store.recording(name="q")

    def on_event(self):
        return observed(Installed("on_event", lambda question: ProgressEvents(self.events.append)))

    @contextmanager
    def live(self):
        with (
            live.view(file=self.screen) as hear,
            observed(Installed("on_event", lambda question: ProgressEvents(hear), key="live")),
        ):
            yield

    def seen(self):
        """What each saw, without times, ids, and the order of rollouts that run side by side."""
        with self.store:
            stored = [
                (each.key.number, each.final_action.text, each.trajectory.entropies.tobytes(), each.tool_calls)
                for kept in self.store.selections()
                for each in self.store.rollouts(selection=kept.id)
            ]
        spans = self.exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans}
        told = sorted(
            (
                names.get(span.parent.span_id) if span.parent else "",
                span.name,
                len(span.links),
                str(sorted((key, str(value)) for key, value in span.attributes.items())),
                [event.name for event in span.events],
            )
            for span in spans
        )
        events = sorted(str({**event, **dict.fromkeys(UNLIKE & event.keys()), **plain(event)}) for event in self.events)
        lines = sorted(re.sub(r"\d+\.\d+ s|\d+:\d\d", "", line) for line in self.screen.getvalue().splitlines())
        return {"tracing": told, "recording": stored, "on_event": events, "live": lines}


UNLIKE = {"time", "seconds", "call", "run", "question"}


def plain(event):
    """The receipt of an event without the time it took."""
    if "selection" not in event:
        return {}
    candidates = [{**each, "seconds": None} for each in event["selection"]["candidates"]]
    return {"selection": {**event["selection"], "candidates": candidates}}


def asked(asynchronous):
    node = best_of_n(clerk(searching(7), searching(2)), n=2)
    builder = StateGraph(MessagesState)
    builder.add_node("solve", node)
    builder.add_edge(START, "solve")
    graph = builder.compile()
    asyncio.run(graph.ainvoke(ASKED)) if asynchronous else graph.invoke(ASKED)


def watched(folder, order, asynchronous):
    folder.mkdir()
    everyone = Watched(folder)
    with ExitStack() as stack:
        for name in order:
            stack.enter_context(getattr(everyone, name)())
        asked(asynchronous)
    return everyone.seen()


@pytest.mark.parametrize("first", WATCHERS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_each_sees_the_same_in_every_order(tmp_path, first, asynchronous):
    expected = watched(tmp_path / "0", WATCHERS, asynchronous)
    assert [len(expected[name]) for name in ("tracing", "recording")] == [10, 2]
    assert all(expected.values())
    for order in itertools.permutations(WATCHERS):
        if order[0] == first:
            assert watched(tmp_path / "-".join(order), order, asynchronous) == expected, order


@pytest.mark.parametrize("alone", WATCHERS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_each_sees_alone_what_it_sees_beside_the_others(tmp_path, alone, asynchronous):
    together = watched(tmp_path / "0", WATCHERS, asynchronous)
    assert watched(tmp_path / "1", [alone], asynchronous)[alone] == together[alone]
