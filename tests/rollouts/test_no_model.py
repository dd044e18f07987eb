"""An agent that answers without a model: nothing is missing, and there is nothing to choose by."""

from __future__ import annotations

import warnings

import kit
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware, before_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import Command, interrupt

from ec_agent import CallFilter, Limits, LowestCentroid, NoScoredRolloutError, QuorumError, best_of_n
from ec_agent.selectors import MajorityVote, Shortest
from ec_agent.testing import Reply, ScriptedChatModel

NO = "I cannot help with that."
SPEAKS = ScriptedChatModel(lambda messages, index: Reply(f"answer {index}", entropies=kit.peak(9)))
MUTE = ScriptedChatModel(lambda messages, index: Reply(f"answer {index}", tokens=20))


@before_agent(can_jump_to=["end"])
def guardrail(state, runtime):
    return {"messages": [AIMessage(NO)], "jump_to": "end"} if "forbidden" in state["messages"][-1].content else None


def limited():
    return create_agent(SPEAKS, [], middleware=[ModelCallLimitMiddleware(run_limit=0, exit_behavior="end")])


def canned(text=NO):
    return kit.graph(MessagesState, say=lambda s: {"messages": [AIMessage(text)]})


ANSWERED = {
    "guardrail": lambda: (create_agent(SPEAKS, [], middleware=[guardrail]), {"messages": "a forbidden thing"}),
    "call limit": lambda: (limited(), {"messages": "go"}),
    "canned graph": lambda: (canned(), {"messages": "go"}),
    "function": lambda: (lambda state: {"messages": [AIMessage(NO)]}, {"messages": "go"}),
    "each its own": lambda: (lambda state: {"messages": [AIMessage(f"{kit.rollout_index()}")]}, {"messages": "go"}),
}


@pytest.mark.parametrize("how", ANSWERED)
def test_the_first_wins_and_no_model_is_blamed(run, how):
    agent, ask = ANSWERED[how]()
    alone = run.invoke(agent, ask)["messages"][-1].content if hasattr(agent, "invoke") else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run.run(best_of_n(agent, n=3), ask)
    last = result.output["messages"][-1].content
    assert last == (alone or {"function": NO, "each its own": "0"}[how])
    selection = result.selection
    assert (selection.winner, selection.order, selection.margin) == (0, (), None)
    assert [candidate.reason for candidate in selection.candidates] == ["no model"] * 3
    (note,) = selection.warnings
    assert "nothing to choose by" in note
    assert "logprobs" not in note


@pytest.mark.parametrize("selector", [MajorityVote(), Shortest(), LowestCentroid("surprisal")], ids=lambda s: s.name)
def test_whatever_chooses(run, selector):
    result = run.run(best_of_n(canned("42"), n=2, selector=selector), {"messages": "go"})
    assert result.output["messages"][-1].content == "42"


def test_a_later_turn_of_a_thread(run):
    limit = ModelCallLimitMiddleware(thread_limit=1, exit_behavior="end")
    agent = (
        best_of_n(create_agent(SPEAKS, [], middleware=[limit]), n=2).as_agent().copy({"checkpointer": InMemorySaver()})
    )
    first, second = (run.invoke(agent, {"messages": text}, kit.THREAD) for text in ("one", "two"))
    assert kit.answers(first["messages"]) == ["answer 0"]
    assert "limit" in kit.answers(second["messages"])[-1].lower()


def test_within_a_graph_and_as_an_agent(run):
    node = best_of_n(create_agent(SPEAKS, [], middleware=[guardrail]), n=2)
    for graph in (kit.outer(node), node.as_agent()):
        done = run.invoke(graph, {"messages": "a forbidden thing"})
        assert kit.answers(done["messages"]) == [NO]
    assert kit.answers(run.invoke(node, {"messages": "an allowed thing"})["messages"])[0].startswith("answer")


def test_rollouts_without_a_model_never_win_over_others(run):
    def some(state):
        text = "canned" if kit.rollout_index() != 1 else SPEAKS.invoke("?").content
        return {"messages": [AIMessage(text)]}

    selection = run.run(best_of_n(kit.graph(MessagesState, some=some), n=3), {"messages": "go"}).selection
    assert selection.winner == 1
    assert [candidate.reason for candidate in selection.candidates] == ["no model", None, "no model"]
    assert any("2 of 3 rollouts called no model" in note for note in selection.warnings)
    assert not any("too few of their tokens" in note or "repeat" in note for note in selection.warnings)


def test_the_first_that_ended_where_others_failed(run):
    def agent(state):
        if kit.rollout_index() == 0:
            raise LookupError("lost")
        return {"messages": [AIMessage(NO)]}

    result = run.run(best_of_n(agent, n=3), {"messages": "go"})
    assert result.selection.winner == 1
    assert [candidate.reason for candidate in result.selection.candidates] == ["failed", "no model", "no model"]


def test_an_action_without_a_model_is_routed(run):
    @tool
    def send(to: str) -> str:
        """Send."""
        raise AssertionError("it ran")

    call = {"name": "send", "args": {"to": "a"}, "id": "c", "type": "tool_call"}
    agent = kit.graph(MessagesState, plan=lambda s: {"messages": [AIMessage("", tool_calls=[call])]})
    result = run.run(best_of_n(agent, n=2, commit=[send]), {"messages": "go"})
    assert result.output["messages"][-1].tool_calls == [call]
    assert result.selection.winner == 0


def test_a_question_before_any_model_call(run):
    def ask(state):
        return {"messages": [AIMessage(interrupt("sure?"))]}

    graph = kit.outer(best_of_n(kit.graph(MessagesState, ask=ask), n=2), checkpointer=InMemorySaver())
    assert run.invoke(graph, {"messages": "go"}, kit.THREAD)["__interrupt__"][0].value == "sure?"
    assert kit.answers(run.invoke(graph, Command(resume="yes"), kit.THREAD)["messages"]) == ["yes"]


# What stays an error


def caught(model):
    def agent(state):
        try:
            return {"messages": [model.invoke("?")]}
        except LookupError:
            return {"messages": [AIMessage("sorry")]}

    return agent


FAILING = ScriptedChatModel(lambda messages, index: Reply(error=LookupError("out of order")))


@pytest.mark.parametrize(
    ("agent", "options", "text"),
    [
        (caught(MUTE), {}, "'scripted' returned no logprobs"),
        (caught(SPEAKS), {"calls": CallFilter(nodes=["nowhere"])}, "calls="),
        (caught(FAILING), {}, "no LLM call was seen"),
        (lambda s: {"messages": [AIMessage("x", response_metadata={"model_name": "far"})]}, {}, "'far' returned no"),
    ],
    ids=["outage", "filter", "failing", "remote"],
)
def test_a_failed_model_call_stays_an_error(run, agent, options, text):
    with pytest.raises(NoScoredRolloutError, match=text):
        run.run(best_of_n(agent, n=2, **options), {"messages": "go"})


def test_an_outage_in_one_rollout_is_an_error(run):
    def agent(state):
        return {"messages": [MUTE.invoke("?") if kit.rollout_index() else AIMessage(NO)]}

    with pytest.raises(NoScoredRolloutError, match="returned no logprobs") as caught:
        run.run(best_of_n(agent, n=2), {"messages": "go"})
    assert [candidate.unscored for candidate in caught.value.candidates] == ["no model", "coverage"]


def test_a_quorum_still_holds(run):
    with pytest.raises(QuorumError, match="no model"):
        run.run(best_of_n(canned(), n=2, limits=Limits(quorum=1)), {"messages": "go"})
