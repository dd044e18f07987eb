"""Waves, why no more were started, and cancelled rollouts as spans tell of them."""

from __future__ import annotations

import asyncio

import pytest
from clerks import clerk, peak

from ec_agent import best_of_n
from ec_agent.stopping import More, Stop
from ec_agent.testing import Reply

pytestmark = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")


class Two:
    """Waves of one; two are enough."""

    def enough(self, candidates, running, n):
        return Stop("two ended") if len(candidates) >= 2 else More(1)


def agent(delay=0.0):
    """Two rollouts that end at once, and others that take their time."""
    return clerk(*([Reply(f"answer {at}", entropies=peak(at), delay=delay * (at > 1))] for at in range(4)))


def test_the_choice_says_how_many_were_started_and_why_no_more(spans, run):
    selection = run(best_of_n(agent(), n=4, stop=Two())).selection
    tree = spans()
    for span in (tree.one("ec_agent.select"), tree.one("best_of_n clerk")):
        told = {name.removeprefix("ec_agent.selection."): value for name, value in span.attributes.items()}
        assert (told["started"], told["ended"], told["cancelled"], told["waves"]) == (2, 2, 0, (1, 1))
        assert (told["stopped"], told["saved_tokens"]) == ("two ended", selection.saved_tokens)
        assert span.attributes["ec_agent.n"] == 4


def test_the_span_of_a_cancelled_rollout_is_ended_and_no_error(spans):
    result = asyncio.run(best_of_n(agent(30.0), n=4, stop=Two(), cancel=True).arun({"messages": "go"}))
    assert result.selection.cancelled == 2
    tree = spans()
    ends = [tree.rollout(index).attributes["ec_agent.rollout.end"] for index in range(4)]
    assert ends == ["answer", "answer", "cancelled", "cancelled"]
    assert all(tree.rollout(index).status.is_ok or tree.rollout(index).status.is_unset for index in range(4))
    assert "ec_agent.rollout.selected" not in tree.rollout(3).attributes
