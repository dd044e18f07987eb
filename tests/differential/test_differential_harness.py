"""The differential test sees what it is there for, and allows nothing in silence."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated

import diff_table
import pytest
import test_differential as differential
from diff_allowed import ALLOWED, documented, explain
from diff_cast import LOSER, Cast, rollout_index
from diff_gist import Gist, differences
from diff_rows import Row, given
from diff_ways import run
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from ec_agent.testing import Reply

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"


def test_the_table_is_as_long_as_it_says():
    rows = diff_table.rows()
    assert len(rows) >= 88
    assert {way for row in rows.values() for way in row.ways} == {"alone", "node"}
    assert sum(len(row.turns) == 3 for row in rows.values()) >= 40


def test_every_difference_is_documented_and_happens():
    used = {name for row in diff_table.rows().values() for names in row.differs.values() for name in names}
    assert set(ALLOWED) == used == documented(PAGE.read_text()) & set(ALLOWED)


@pytest.mark.parametrize(
    ("alone", "ours"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [1]}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {}),
        ([AIMessage("x", id="1")], [AIMessage("y", id="1")]),
        ([AIMessage("x", name="n")], [AIMessage("x")]),
        ([AIMessage("x")], [HumanMessage("x")]),
        (ValueError("x"), ValueError("y")),
        (ValueError("x"), TypeError("x")),
    ],
    ids=str,
)
def test_a_difference_is_seen(alone, ours):
    assert list(differences(Gist().of(alone), Gist().of(ours)))


def test_made_up_ids_are_the_same_where_they_stand_for_the_same():
    one, two, three = (f"{n}" * 8 + "-0000-0000-0000-" + "0" * 12 for n in (1, 2, 3))
    told = [Gist().of(ids) for ids in ([one, two, one], [three, one, three], [one, two, three], [one, one, one])]
    assert not list(differences(told[0], told[1]))
    assert list(differences(told[0], told[2]))
    assert list(differences(told[0], told[3]))


class Counted(TypedDict):
    question: str
    said: Annotated[list[str], operator.add]
    last: str


def answers(how):
    """An agent that says one thing alone, and in a rollout something else as well: what a fault of ours would do."""

    def build(cast: Cast, **compiled):
        model = cast.model(script=lambda messages: Reply(f"~{messages[-1].content}"))

        def tell(state):
            said = model.invoke(state["question"]).content
            return {"said": [said, *how(model)], "last": said}

        builder = StateGraph(Counted)
        builder.add_node("tell", tell)
        builder.add_edge(START, "tell")
        return builder.compile(**compiled)

    return Row("faulty", build, [given(question="a"), given(question="b")], Counted)


def in_a_rollout(then):
    return lambda model: [] if rollout_index() is None else then(model)


FAULTS = {
    "says more": lambda model: ["more"],
    "asks more": lambda model: [model.invoke("again").content][:0],
    "says a loser's words": lambda model: [f"{LOSER}-0"],
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("api", ["sync", "async"])
def test_a_fault_in_a_rollout_is_seen(fault, api):
    right = answers(lambda model: [])
    bare, same = run(right, "alone", False, "sync"), run(right, "alone", True, api)
    assert not list(differences(bare.told(), same.told()))
    wrong = run(answers(in_a_rollout(fault)), "alone", True, api)
    left, _ = explain(list(differences(bare.told(), wrong.told())), list(ALLOWED), bare.told(), bare.told)
    assert left


def test_a_losers_words_in_the_checkpointer_are_seen():
    done = run(answers(in_a_rollout(lambda model: [f"{LOSER}-0"])), "alone", True, "sync")
    assert done.problems
    assert differential.kept_of_losers(done)
    assert not differential.kept_of_losers(run(answers(lambda model: []), "alone", True, "sync"))
