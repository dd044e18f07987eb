"""Opt-in: a rollout's span has an event for each call, with its entropies; read back, they are the same to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from clerks import clerk, peak, searching

from ec_agent import LowestCentroid, best_of_n
from ec_agent.testing import Reply
from ec_agent.tracing import instrument

GAPPED = [1.3, None, 0.2, 1 / 3, None]


@pytest.fixture
def told(provider, spans):
    """Traces with entropies; gives the events of each rollout's calls, by the rollout's index."""
    instrument(provider[0], entropies=True)

    def events():
        rollouts = [span for span in provider[1].get_finished_spans() if span.name.startswith("invoke_agent")]
        found = {span.attributes["ec_agent.rollout.index"]: span for span in rollouts}
        return {index: [e for e in span.events if e.name == "ec_agent.call"] for index, span in found.items()}

    return events


def timeline(event):
    values, gaps = (event.attributes[f"ec_agent.call.{what}.entropy"] for what in ("signal", "gaps"))
    whole = np.full(len(values) + len(gaps), np.nan)
    whole[np.setdiff1d(np.arange(len(whole)), gaps)] = values
    return whole


def test_every_call_of_every_rollout_is_an_event(run, told):
    result = run(best_of_n(clerk(searching(3), searching(6)), n=2))
    assert {index: len(events) for index, events in told().items()} == {0: 2, 1: 2}
    for index, events in told().items():
        for call, event in zip(result.trajectories[index].calls, events, strict=True):
            assert timeline(event).tobytes() == call.entropies.tobytes()
            assert event.attributes["ec_agent.call.tokens"] == call.tokens
            assert event.timestamp == int(call.started * 1e9)


def test_gaps_are_places_and_no_number_is_nan(run, told):
    result = run(best_of_n(clerk([Reply("a", entropies=GAPPED)], [Reply("b", entropies=peak(1))]), n=2))
    (event,) = told()[0]
    assert event.attributes["ec_agent.call.gaps.entropy"] == (1, 4)
    assert np.array_equal(timeline(event), result.trajectories[0].calls[0].entropies, equal_nan=True)


def test_without_candidates_there_are_gaps_alone(run, told):
    run(best_of_n(clerk([Reply("a", entropies=[None] * 3)], [Reply("b", entropies=peak(1))]), n=2))
    (event,) = told()[0]
    assert event.attributes["ec_agent.call.signal.entropy"] == ()
    assert event.attributes["ec_agent.call.gaps.entropy"] == (0, 1, 2)
    assert event.attributes["ec_agent.call.capability"] == "sampled"


def test_other_signals_that_the_selector_reads_come_too(run, told):
    selector = LowestCentroid(signal="surprisal")
    result = run(best_of_n(clerk(searching(3)), n=1, selector=selector))
    for call, event in zip(result.trajectories[0].calls, told()[0], strict=True):
        assert list(event.attributes["ec_agent.call.signal.surprisal"]) == call.signal("surprisal").tolist()


def test_by_default_there_are_none(run, spans, provider):
    run(best_of_n(clerk(searching(3)), n=1))
    assert {event.name for span in provider[1].get_finished_spans() for event in span.events} == {
        "gen_ai.evaluation.result"
    }


def test_no_text_is_among_them(run, told):
    run(best_of_n(clerk(searching(3)), n=1))
    assert "private" not in str([dict(event.attributes) for events in told().values() for event in events])
