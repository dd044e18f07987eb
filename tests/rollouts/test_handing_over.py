"""``HandOver``: goes on where the winner is probably right; a person or a stronger agent takes over elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import kit
import mailing
import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from ec_agent import Candidate, CommitToolNode, ConfigError, HandOver, Trajectory, best_of_n
from ec_agent.selectors import MajorityVote
from ec_agent.testing import Reply, ScriptedChatModel

sys.path.append(str(Path(__file__).parents[1] / "probability"))
from calibrated import platt

pytestmark = kit.SAME
ASK = {"messages": [("user", "go")]}
SURE, UNSURE = "aaaa", "abcd"  # probabilities of .95 and .18 by platt()


def letters(answers):
    return kit.chat(ScriptedChatModel(lambda messages, index: Reply(answers[index], entropies=kit.peak(index, 10))))


def desk(answers, route, fitted=None, saver=None, agent=None, **options):
    """START -> solve -> answer, or person -> END."""
    node = best_of_n(
        agent or letters(answers), n=4, selector=MajorityVote(), route=route, probability=fitted, **options
    )
    builder = StateGraph(MessagesState)
    builder.add_node("solve", node, destinations=("answer", "person"))
    builder.add_node("answer", lambda state: {"messages": [AIMessage("answered")]})
    builder.add_node("person", lambda state: {"messages": [AIMessage(f"a person: {interrupt('what now?')}")]})
    builder.add_edge(START, "solve")
    return builder.compile(checkpointer=saver)


def winner(probability):
    return Candidate(0, Trajectory(), probability=probability)


@pytest.mark.parametrize(
    ("probability", "leads_to"), [(0.9, "answer"), (0.8, "answer"), (0.79, "person"), (0.0, "person"), (None, "person")]
)
def test_the_threshold_decides(probability, leads_to):
    assert HandOver(below=0.8, to="person", otherwise="answer")(winner(probability)) == leads_to


def test_without_a_probability_the_option_decides():
    assert HandOver(0.8, "person", "answer", on_unknown="go_on")(winner(None)) == "answer"
    assert HandOver(0.8, "person", "answer", on_unknown="go_on")(winner(0.1)) == "person"


def test_by_default_a_sure_winner_ends():
    assert HandOver(0.8, "person")(winner(0.9)) == END


def test_in_a_graph(run):
    route = HandOver(below=0.8, to="person", otherwise="answer")
    sure = run.invoke(desk(SURE, route, platt()), ASK)
    assert kit.answers(sure["messages"]) == ["a", "answered"]
    graph = desk(UNSURE, route, platt(), InMemorySaver())
    waits = run.invoke(graph, ASK, kit.THREAD)
    assert [each.value for each in waits["__interrupt__"]] == ["what now?"]
    assert kit.answers(waits["messages"]) == ["a"]  # the person sees what was proposed
    done = run.invoke(graph, Command(resume="take b"), kit.THREAD)
    assert kit.answers(done["messages"]) == ["a", "a person: take b"]


@pytest.mark.parametrize("fitted", [None, platt(n=8)], ids=["no calibration", "another n"])
def test_in_a_graph_where_nobody_can_tell(run, fitted):
    handed = run.invoke(desk(SURE, HandOver(0.1, "person", "answer"), fitted, InMemorySaver()), ASK, kit.THREAD)
    assert handed["__interrupt__"]
    gone_on = run.invoke(desk(SURE, HandOver(0.1, "person", "answer", "go_on"), fitted), ASK)
    assert kit.answers(gone_on["messages"])[-1] == "answered"


def test_to_a_stronger_agent_with_a_send(run):
    class State(MessagesState):
        hint: str

    seen = []

    def stronger(state):
        seen.append(state)
        return {"messages": [AIMessage("stronger")]}

    route = HandOver(0.8, [Send("stronger", {"messages": [], "hint": "it was unsure"})], END)
    node = best_of_n(letters(UNSURE), n=4, selector=MajorityVote(), route=route, probability=platt())
    builder = StateGraph(State)
    builder.add_node("solve", node, destinations=("stronger", END))
    builder.add_node("stronger", stronger)
    builder.add_edge(START, "solve")
    assert kit.answers(run.invoke(builder.compile(), ASK)["messages"]) == ["a", "stronger"]
    assert seen == [{"messages": [], "hint": "it was unsure"}]


def test_a_route_of_ones_own_gets_the_probability(run):
    told = []

    def route(candidate):
        told.append((candidate.probability, candidate.final_action.text))
        return "answer"

    run.invoke(desk(SURE, route, platt()), ASK)
    run.invoke(desk(SURE, route), ASK)
    assert told == [(pytest.approx(0.9526, abs=1e-4), "a"), (None, "a")]


def test_selectors_never_see_one(run):
    class Curious(MajorityVote):
        def select(self, candidates):
            seen.extend(candidate.probability for candidate in candidates)
            return super().select(candidates)

    seen: list[Any] = []
    node = best_of_n(letters(SURE), n=4, selector=Curious(), probability=platt())
    run.run(node, ASK)
    assert seen == [None] * 4


def test_an_action_is_left_to_the_graph(run, post):
    """An unsure winner's letter is not sent; a sure one's is, once."""
    for names, route in (("ann", HandOver(1.0, END, "tools")), ("bob", HandOver(0.01, END, "tools"))):
        agent = mailing.agent("create_agent", mailing.sending(*[names] * 4), post.tools)
        node = best_of_n(
            agent, n=4, selector=MajorityVote(), commit=[post.send], route=route, probability=platt({"agreement": 1.0})
        )
        builder = StateGraph(MessagesState)
        builder.add_node("solve", node, destinations=("tools", END))
        builder.add_node("tools", CommitToolNode(post.tools))
        builder.add_edge(START, "solve")
        run.invoke(builder.compile(checkpointer=InMemorySaver()), ASK, kit.THREAD)
    assert post.done == ["bob"]


def test_an_action_that_would_be_done_first_is_refused():
    with pytest.raises(ConfigError, match="before route=HandOver"):
        best_of_n(letters(SURE), route=HandOver(0.8, "person"), on_commit="execute")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"below": 0}, "below is 0"),
        ({"below": 1.5}, "below is 1.5"),
        ({"below": "0.8"}, "below is '0.8'"),
        ({"to": ""}, "to is ''"),
        ({"to": []}, "to is "),
        ({"to": [1]}, "to is "),
        ({"otherwise": None}, "otherwise is None"),
        ({"on_unknown": "raise"}, "on_unknown is 'raise'"),
    ],
)
def test_arguments_it_cannot_have_are_refused_by_name(arguments, said):
    with pytest.raises(ConfigError, match=said):
        HandOver(**{"below": 0.8, "to": "person", **arguments})
