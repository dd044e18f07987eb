"""``print(selection)`` and ``print(result)``: a table for people, from what the receipt holds."""

from __future__ import annotations

import pytest

from ec_agent import Selection, best_of_n
from ec_agent.selectors import MajorityVote
from ec_agent.testing import Reply, ScriptedChatModel

LATE, EARLY = [0.1, 0.1, 0.1, 2.0], [2.0, 0.1, 0.1, 0.1]


def run(*replies, **options):
    model = ScriptedChatModel([[reply] for reply in replies])
    agent = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=len(replies), **options)
    return agent.run({"messages": [("user", "?")]})


def test_the_winner_is_marked_and_comes_first():
    result = run(Reply("late", entropies=LATE), Reply("early", entropies=EARLY))
    title, header, first, second, *rest = str(result).splitlines()
    assert title == "2 rollouts, lowest centroid first"
    assert " ".join(header.split()) == "# centroid phases tokens calls tools coverage sec final action"
    assert first.split()[:8] == ["*", "1", "0.125", "1", "4", "1", "0", "100%"]
    assert first.endswith("early")
    assert second.split()[:2] == ["0", "0.875"]
    assert second.endswith("late")
    assert rest[0] == "The next best is rollout 0 with 0.875, 0.750 off."
    assert rest[1] == "Tokens over all rollouts: 8 generated."
    assert all(line.startswith("note: ") for line in rest[2:])
    assert len(rest) - 2 == len(result.selection.warnings)


def test_a_receipt_that_was_read_back_has_the_numbers_and_no_final_actions():
    result = run(Reply("late", entropies=LATE), Reply("early", entropies=EARLY))
    shown = str(Selection.from_dict(result.selection.to_dict()))
    assert "0.125" in shown
    assert "early" not in shown
    assert "final action" not in shown


def test_what_models_say_stays_in_its_line():
    result = run(Reply("one\ntwo\x1b[31m" + "x" * 200, entropies=EARLY))
    (line,) = (line for line in str(result).splitlines() if line.startswith("*"))
    assert "one two\u241b[31m" in line
    assert len(line) < 140


@pytest.mark.parametrize("n", [1, 2])
def test_another_selectors_score_has_its_name(n):
    lines = str(run(*(Reply(f"answer {k}", entropies=EARLY) for k in range(n)), selector=MajorityVote())).splitlines()
    assert "majority vote" in lines[1]
    assert lines[0].endswith("the winner first")


def test_a_failed_rollout_shows_its_error():
    def agent(state):
        if len(calls := state["messages"]) and (message := model.invoke(calls)).content == "bad":
            raise ValueError("no such parcel")
        return {"messages": [message]}

    model = ScriptedChatModel([[Reply("bad", entropies=EARLY)], [Reply("good", entropies=LATE)]])
    shown = str(best_of_n(agent, n=2).run({"messages": [("user", "?")]}))
    assert "no such parcel" in shown
    assert shown.splitlines()[2].startswith("* 1")
