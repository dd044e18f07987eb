"""A rollout that asks somebody ends there; if it wins, the graph around asks, and the winner alone goes on."""

from __future__ import annotations

import kit
import mailing
import pytest
from kit import PEAKS, SAME, THREAD
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Interrupt, interrupt
from questions import Asking, asked, texts

from ec_agent import EcAgentError, LowestCentroid, best_of_n
from ec_agent.testing import Reply, ScriptedChatModel


def test_the_winners_question_gets_the_answer(run):
    agent = Asking()
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=InMemorySaver())
    done = run.invoke(graph, {"messages": "go"}, THREAD)
    assert asked(done) == [{"ask": 1}]
    assert texts(done) == ["go"]
    assert sorted(agent.calls) == [0, 1, 2]
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert "__interrupt__" not in done
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert sorted(agent.calls) == [0, 1, 1, 2]


def test_a_losers_question_is_not_asked(run):
    agent, saver = Asking(indices=(0, 2)), InMemorySaver()
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver)
    done = run.invoke(graph, {"messages": "go"}, THREAD)
    assert "__interrupt__" not in done
    assert texts(done) == ["go", "answer 1", "1 asks nobody", "answer 1"]
    assert list(saver.storage) == ["t"]  # the losers' threads are gone


@pytest.mark.parametrize("answer", ["", 0, False, [], {"a": [1]}, ["x", "y"]], ids=repr)
def test_any_answer_reaches_the_winner(run, answer):
    graph = kit.outer(best_of_n(Asking().graph, n=3), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    assert texts(run.invoke(graph, Command(resume=answer), THREAD))[2] == f"1 was told {answer!r}"


def test_an_answer_may_name_its_question(run):
    graph = kit.outer(best_of_n(Asking().graph, n=3), checkpointer=InMemorySaver())
    question = run.invoke(graph, {"messages": "go"}, THREAD)["__interrupt__"][0]
    done = run.invoke(graph, Command(resume={question.id: "by id"}), THREAD)
    assert texts(done)[2] == "1 was told 'by id'"


def test_two_questions_in_turn(run):
    def ask(state):
        told = [interrupt(f"{kit.rollout_index()} first"), interrupt(f"{kit.rollout_index()} second")]
        return {"messages": [("human", f"told {told}")]}

    agent = Asking(ask)
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, THREAD)) == ["1 first"]
    assert asked(run.invoke(graph, Command(resume="a"), THREAD)) == ["1 second"]
    assert texts(run.invoke(graph, Command(resume="b"), THREAD))[2] == "told ['a', 'b']"
    assert sorted(agent.calls) == [0, 1, 1, 2]


def test_two_nodes_that_ask_in_turn(run):
    def asking(name):
        return lambda s: {"messages": [("human", f"{name} told {interrupt(name)}")]}

    agent, saver = Asking(b1=asking("first"), b2=asking("second")), InMemorySaver()
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver)
    assert asked(run.invoke(graph, {"messages": "go"}, THREAD)) == ["first"]
    assert asked(run.invoke(graph, Command(resume="a"), THREAD)) == ["second"]
    done = run.invoke(graph, Command(resume="b"), THREAD)
    assert texts(done) == ["go", "answer 1", "first told a", "second told b", "answer 1"]
    assert sorted(agent.calls) == [0, 1, 1, 2]
    assert list(saver.storage) == ["t"]


def test_two_questions_of_a_step_get_answers(run):
    builder = StateGraph(MessagesState)
    model = kit.say(*PEAKS)
    builder.add_node("say", lambda s: {"messages": [model.invoke("?")]})
    for name in ("left", "right"):
        builder.add_node(name, lambda s, name=name: {"messages": [("human", f"{name} told {interrupt(name)}")]})
        builder.add_edge("say", name)
    builder.add_edge(START, "say")
    graph = kit.outer(best_of_n(builder.compile(), n=3), checkpointer=InMemorySaver())
    done = run.invoke(graph, {"messages": "go"}, THREAD)
    questions = []
    for _ in range(3):
        if "__interrupt__" not in done:
            break
        questions += asked(done)
        answers = {each.id: f"answer to {each.value}" for each in done["__interrupt__"]}
        done = run.invoke(graph, Command(resume=answers), THREAD)
    assert sorted(questions) == ["left", "right"]
    assert sorted(texts(done)[2:]) == ["left told answer to left", "right told answer to right"]


@pytest.mark.parametrize("calls", [1, 2])
def test_a_tool_that_asks(run, calls):
    ran = []

    @tool
    def look(what: str) -> str:
        """Look."""
        told = interrupt(what)
        ran.append((kit.rollout_index(), what))
        return f"{what}: {told}"

    model = ScriptedChatModel(
        [
            [
                Reply(tool_calls=[("look", {"what": f"{i}{c}"}) for c in "ab"[:calls]], entropies=kit.peak(at)),
                Reply(f"done {i}", entropies=kit.peak(at)),
            ]
            for i, at in enumerate(PEAKS)
        ]
    )
    # Of two in one node LangGraph tells the answers apart by which comes first; create_agent has a task for each.
    agent = create_agent(model, [look]) if calls == 2 else mailing.by_hand(model, ToolNode([look]))
    graph = kit.outer(best_of_n(agent, n=3), checkpointer=InMemorySaver())
    done, questions = run.invoke(graph, {"messages": "go"}, THREAD), []
    while "__interrupt__" in done and len(questions) < 4:
        questions += asked(done)
        answers = {each.id: f"told {each.value}" for each in done["__interrupt__"]}
        done = run.invoke(graph, Command(resume=answers), THREAD)
    assert sorted(questions) == ["1a", "1b"][:calls]
    assert texts(done)[2:] == [*["1a: told 1a", "1b: told 1b"][:calls], "done 1"]
    assert sorted(set(ran)) == [(1, "1a"), (1, "1b")][:calls]


def test_a_subgraph_that_asks(run):
    asking = Asking()
    inner = kit.graph(MessagesState, ask=asking.ask)
    agent = Asking(b_inner=inner)
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, THREAD)) == [{"ask": 1}]
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert sorted(agent.calls) == [0, 1, 1, 2]


def test_a_question_before_any_model_was_asked(run):
    def ask(state):
        return {"messages": [("human", f"told {interrupt('who are you?')}")]}

    agent = kit.graph(MessagesState, a_ask=ask, b_say=lambda s: {"messages": [kit.say(*PEAKS).invoke("?")]})
    graph = kit.outer(best_of_n(agent, n=1), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, THREAD)) == ["who are you?"]
    assert texts(run.invoke(graph, Command(resume="me"), THREAD)) == ["go", "told me", "answer 0"]


def test_the_question_is_the_final_action(run):
    seen, routed = [], []

    class Looking(LowestCentroid):
        def select(self, candidates):
            seen.extend(candidate.final_action for candidate in candidates)
            return super().select(candidates)

    def route(winner):
        routed.append(winner.final_action)
        return END

    node = best_of_n(Asking(indices=(0, 1)).graph, n=3, selector=Looking(), route=route)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    assert [getattr(action, "value", action.content if index == 2 else None) for index, action in enumerate(seen)] == [
        {"ask": 0},
        {"ask": 1},
        "answer 2",
    ]
    assert isinstance(seen[0], Interrupt)
    assert routed == []  # nothing is decided yet
    run.invoke(graph, Command(resume="yes"), THREAD)
    assert [action.content for action in routed] == ["answer 1"]


def test_a_winner_that_fails_after_the_answer_fails_the_run(run):
    def ask(state):
        told = interrupt("?")
        if told == "break":
            raise LookupError("broken by the answer")
        return {"messages": [("human", told)]}

    graph = kit.outer(best_of_n(Asking(ask).graph, n=3), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    with pytest.raises(LookupError, match="broken by the answer"):
        run.invoke(graph, Command(resume="break"), THREAD)


@SAME
def test_a_nested_winner_that_asks(run):
    agent = Asking()
    outer_agent = kit.graph(MessagesState, inner=best_of_n(agent.graph, n=3))
    graph = kit.outer(best_of_n(outer_agent, n=2), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, THREAD)) == [{"ask": 1}]
    assert len(agent.calls) == 6
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert len(agent.calls) == 7


# Standing alone.


@pytest.mark.parametrize("saver", [None, InMemorySaver], ids=["no saver", "saver"])
def test_standing_alone(run, saver):
    agent = Asking(saver=saver and saver())
    node = best_of_n(agent.graph, n=3)
    done = run.invoke(node, {"messages": "go"}, THREAD)
    assert asked(done) == [{"ask": 1}]
    if saver:
        done = run.invoke(node, Command(resume="yes"), THREAD)
        assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
        assert sorted(agent.calls) == [0, 1, 1, 2]


def test_run_returns_the_choice_before_and_after(run):
    node = best_of_n(Asking(saver=InMemorySaver()).graph, n=3)
    result = run.run(node, {"messages": "go"}, THREAD)
    assert asked(result.output) == [{"ask": 1}]
    assert result.selection.winner == 1
    assert [action.value for action in result.final_actions] == [{"ask": 0}, {"ask": 1}, {"ask": 2}]
    assert result.selection.usage["generated_tokens"] == 60
    result = run.run(node, Command(resume="yes"), THREAD)
    assert texts(result.output)[-1] == "answer 1"
    assert result.selection.winner == 1
    assert result.selection.usage["generated_tokens"] == 80  # what came after the answer is on the bill


def test_run_on_an_ended_thread_says_so(run):
    node = best_of_n(Asking(saver=InMemorySaver()).graph, n=3)
    run.run(node, {"messages": "go"}, THREAD)
    run.run(node, Command(resume="yes"), THREAD)
    refused = result = None
    try:
        result = run.run(node, None, THREAD)
    except EcAgentError as error:
        refused = error
    assert refused is not None or texts(result.output)[-1] == "answer 1"
