"""A rollout that asks somebody ends there; if it wins, the graph around asks, and the winner alone goes on."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import contextmanager

import kit
import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Interrupt, interrupt

from ec_agent import EcAgentError, Limits, LowestCentroid, QuorumError, best_of_n, commit_tool
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)  # rollout 1 wins
ON_THREAD = {"configurable": {"thread_id": "t"}}
SAME = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")


class Asking:
    """An agent that asks its model, then people, then its model again; counts the model's calls by rollout."""

    def __init__(self, ask=None, saver=None, indices=(0, 1, 2), after=True, **nodes):
        self.calls = []
        self.indices = indices
        lock = threading.Lock()

        def script(messages, index):
            with lock:
                self.calls.append(index)
            return Reply(f"answer {index}", entropies=kit.peak(PEAKS[index % 3]))

        model = ScriptedChatModel(script)

        def say(state):
            return {"messages": [model.invoke(state["messages"])]}

        nodes = nodes or {"b_ask": ask or self.ask}
        self.graph = kit.graph(
            MessagesState, a_say=say, **nodes, **({"c_say": say} if after else {}), checkpointer=saver
        )

    def ask(self, state):
        index = kit.rollout_index()
        if index not in self.indices:
            return {"messages": [("ai", f"{index} asks nobody")]}
        return {"messages": [("human", f"{index} was told {interrupt({'ask': index})!r}")]}


def texts(done):
    return [message.content for message in done["messages"]]


def asked(done):
    return [each.value for each in done.get("__interrupt__", [])]


def test_the_winners_question_is_asked_and_the_answer_goes_to_it_alone(run):
    agent = Asking()
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=InMemorySaver())
    done = run.invoke(graph, {"messages": "go"}, ON_THREAD)
    assert asked(done) == [{"ask": 1}]
    assert texts(done) == ["go"]
    assert sorted(agent.calls) == [0, 1, 2]
    done = run.invoke(graph, Command(resume="yes"), ON_THREAD)
    assert "__interrupt__" not in done
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert sorted(agent.calls) == [0, 1, 1, 2]


def test_a_losers_question_is_asked_by_nobody(run):
    agent, saver = Asking(indices=(0, 2)), InMemorySaver()
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver)
    done = run.invoke(graph, {"messages": "go"}, ON_THREAD)
    assert "__interrupt__" not in done
    assert texts(done) == ["go", "answer 1", "1 asks nobody", "answer 1"]
    assert list(saver.storage) == ["t"]  # the losers' threads are gone


@pytest.mark.parametrize("answer", ["", 0, False, [], {"a": [1]}, ["x", "y"]], ids=repr)
def test_any_answer_reaches_the_winner(run, answer):
    graph = kit.outer(best_of_n(Asking().graph, n=3), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, ON_THREAD)
    assert texts(run.invoke(graph, Command(resume=answer), ON_THREAD))[2] == f"1 was told {answer!r}"


def test_an_answer_may_name_its_question(run):
    graph = kit.outer(best_of_n(Asking().graph, n=3), checkpointer=InMemorySaver())
    question = run.invoke(graph, {"messages": "go"}, ON_THREAD)["__interrupt__"][0]
    done = run.invoke(graph, Command(resume={question.id: "by id"}), ON_THREAD)
    assert texts(done)[2] == "1 was told 'by id'"


def test_two_questions_one_after_the_other(run):
    def ask(state):
        told = [interrupt(f"{kit.rollout_index()} first"), interrupt(f"{kit.rollout_index()} second")]
        return {"messages": [("human", f"told {told}")]}

    agent = Asking(ask)
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, ON_THREAD)) == ["1 first"]
    assert asked(run.invoke(graph, Command(resume="a"), ON_THREAD)) == ["1 second"]
    assert texts(run.invoke(graph, Command(resume="b"), ON_THREAD))[2] == "told ['a', 'b']"
    assert sorted(agent.calls) == [0, 1, 1, 2]


def test_two_nodes_that_ask_one_after_the_other(run):
    def asking(name):
        return lambda s: {"messages": [("human", f"{name} told {interrupt(name)}")]}

    agent, saver = Asking(b1=asking("first"), b2=asking("second")), InMemorySaver()
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver)
    assert asked(run.invoke(graph, {"messages": "go"}, ON_THREAD)) == ["first"]
    assert asked(run.invoke(graph, Command(resume="a"), ON_THREAD)) == ["second"]
    done = run.invoke(graph, Command(resume="b"), ON_THREAD)
    assert texts(done) == ["go", "answer 1", "first told a", "second told b", "answer 1"]
    assert sorted(agent.calls) == [0, 1, 1, 2]
    assert list(saver.storage) == ["t"]


def test_two_questions_of_one_step_each_get_their_answer(run):
    builder = StateGraph(MessagesState)
    model = kit.say(*PEAKS)
    builder.add_node("say", lambda s: {"messages": [model.invoke("?")]})
    for name in ("left", "right"):
        builder.add_node(name, lambda s, name=name: {"messages": [("human", f"{name} told {interrupt(name)}")]})
        builder.add_edge("say", name)
    builder.add_edge(START, "say")
    graph = kit.outer(best_of_n(builder.compile(), n=3), checkpointer=InMemorySaver())
    done = run.invoke(graph, {"messages": "go"}, ON_THREAD)
    questions = []
    for _ in range(3):
        if "__interrupt__" not in done:
            break
        questions += asked(done)
        answers = {each.id: f"answer to {each.value}" for each in done["__interrupt__"]}
        done = run.invoke(graph, Command(resume=answers), ON_THREAD)
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
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda s: {"messages": [model.invoke(s["messages"])]})
    builder.add_node("tools", ToolNode([look]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    builder.add_edge("tools", "model")
    graph = kit.outer(best_of_n(builder.compile(), n=3), checkpointer=InMemorySaver())
    done, questions = run.invoke(graph, {"messages": "go"}, ON_THREAD), []
    while "__interrupt__" in done and len(questions) < 4:
        questions += asked(done)
        answers = {each.id: f"told {each.value}" for each in done["__interrupt__"]}
        done = run.invoke(graph, Command(resume=answers), ON_THREAD)
    assert sorted(questions) == ["1a", "1b"][:calls]
    assert texts(done)[2:] == [*["1a: told 1a", "1b: told 1b"][:calls], "done 1"]
    assert sorted(set(ran)) == [(1, "1a"), (1, "1b")][:calls]


def test_a_subgraph_that_asks(run):
    asking = Asking()
    inner = kit.graph(MessagesState, ask=asking.ask)
    agent = Asking(b_inner=inner)
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, ON_THREAD)) == [{"ask": 1}]
    done = run.invoke(graph, Command(resume="yes"), ON_THREAD)
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert sorted(agent.calls) == [0, 1, 1, 2]


def test_a_question_before_any_model_was_asked(run):
    def ask(state):
        return {"messages": [("human", f"told {interrupt('who are you?')}")]}

    agent = kit.graph(MessagesState, a_ask=ask, b_say=lambda s: {"messages": [kit.say(*PEAKS).invoke("?")]})
    graph = kit.outer(best_of_n(agent, n=1), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, ON_THREAD)) == ["who are you?"]
    assert texts(run.invoke(graph, Command(resume="me"), ON_THREAD)) == ["go", "told me", "answer 0"]


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
    run.invoke(graph, {"messages": "go"}, ON_THREAD)
    assert [getattr(action, "value", action.content if index == 2 else None) for index, action in enumerate(seen)] == [
        {"ask": 0},
        {"ask": 1},
        "answer 2",
    ]
    assert isinstance(seen[0], Interrupt)
    assert routed == []  # nothing is decided yet
    run.invoke(graph, Command(resume="yes"), ON_THREAD)
    assert [action.content for action in routed] == ["answer 1"]


# Another process.


@contextmanager
def sqlite_saver(path):
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        yield SqliteSaver(connection)
    finally:
        connection.close()


def threads_in(path):
    connection = sqlite3.connect(path)
    try:
        tables = ("checkpoints", "writes")
        return {row[0] for table in tables for row in connection.execute(f"SELECT DISTINCT thread_id FROM {table}")}
    finally:
        connection.close()


def test_the_answer_may_come_in_another_process(tmp_path):
    path, calls = tmp_path / "saver.sqlite", []
    for said in ({"messages": "go"}, Command(resume="yes")):
        agent = Asking()
        with sqlite_saver(path) as saver:
            done = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver).invoke(said, ON_THREAD)
        calls.append(sorted(agent.calls))
    assert calls == [[0, 1, 2], [1]]
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert threads_in(path) == {"t"}


def test_the_answer_may_come_in_another_process_on_the_loop(tmp_path):
    path, calls = tmp_path / "saver.sqlite", []

    async def step(agent, said):
        async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
            return await kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver).ainvoke(said, ON_THREAD)

    for said in ({"messages": "go"}, Command(resume="yes")):
        agent = Asking()
        done = asyncio.run(step(agent, said))
        calls.append(sorted(agent.calls))
    assert calls == [[0, 1, 2], [1]]
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert threads_in(path) == {"t"}


def test_several_answers_each_in_another_process(tmp_path):
    path, questions = tmp_path / "saver.sqlite", []

    def asking(name):
        return lambda s: {"messages": [("human", f"{name} told {interrupt(name)}")]}

    for said in ({"messages": "go"}, Command(resume="a"), Command(resume="b")):
        agent = Asking(b1=asking("first"), b2=asking("second"))
        with sqlite_saver(path) as saver:
            done = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver).invoke(said, ON_THREAD)
        questions.append(asked(done))
    assert questions == [["first"], ["second"], []]
    assert texts(done) == ["go", "answer 1", "first told a", "second told b", "answer 1"]
    assert threads_in(path) == {"t"}


def test_while_the_winner_waits_the_losers_leave_nothing(tmp_path):
    path = tmp_path / "saver.sqlite"
    with sqlite_saver(path) as saver:
        graph = kit.outer(best_of_n(Asking().graph, n=3), checkpointer=saver)
        graph.invoke({"messages": "go"}, ON_THREAD)
        assert len(threads_in(path)) == 2  # its own, and the winner's


def test_a_question_without_a_winner_leaves_nothing(run):
    agent, saver = Asking(indices=(1, 2)), InMemorySaver()
    failing = kit.graph(MessagesState, agent=agent.graph, z=lambda s: 1 // (kit.rollout_index() or 0))
    graph = kit.outer(best_of_n(failing, n=3, limits=Limits(quorum=3)), checkpointer=saver)
    with pytest.raises(QuorumError):
        run.invoke(graph, {"messages": "go"}, ON_THREAD)
    assert list(saver.storage) == ["t"]


def test_two_turns_on_one_thread_ask_each_for_itself(run):
    agent, saver = Asking(), InMemorySaver()
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver)
    for turn in range(2):
        assert asked(run.invoke(graph, {"messages": "go"}, ON_THREAD)) == [{"ask": 1}]
        done = run.invoke(graph, Command(resume=f"turn {turn}"), ON_THREAD)
        assert texts(done)[-2:] == [f"1 was told 'turn {turn}'", "answer 1"]
    assert list(saver.storage) == ["t"]


# Standing alone.


@pytest.mark.parametrize("saver", [None, InMemorySaver], ids=["no saver", "saver"])
def test_standing_alone(run, saver):
    agent = Asking(saver=saver and saver())
    node = best_of_n(agent.graph, n=3)
    done = run.invoke(node, {"messages": "go"}, ON_THREAD)
    assert asked(done) == [{"ask": 1}]
    if saver:
        done = run.invoke(node, Command(resume="yes"), ON_THREAD)
        assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
        assert sorted(agent.calls) == [0, 1, 1, 2]


def test_run_tells_of_the_choice_before_and_after_the_answer(run):
    node = best_of_n(Asking(saver=InMemorySaver()).graph, n=3)
    result = run.run(node, {"messages": "go"}, ON_THREAD)
    assert asked(result.output) == [{"ask": 1}]
    assert result.selection.winner == 1
    assert [action.value for action in result.final_actions] == [{"ask": 0}, {"ask": 1}, {"ask": 2}]
    assert result.selection.usage["generated_tokens"] == 60
    result = run.run(node, Command(resume="yes"), ON_THREAD)
    assert texts(result.output)[-1] == "answer 1"
    assert result.selection.winner == 1
    assert result.selection.usage["generated_tokens"] == 80  # what came after the answer is on the bill


def test_run_on_a_thread_where_nothing_is_left_to_do_is_no_type_error_of_ours(run):
    node = best_of_n(Asking(saver=InMemorySaver()).graph, n=3)
    run.run(node, {"messages": "go"}, ON_THREAD)
    run.run(node, Command(resume="yes"), ON_THREAD)
    refused = result = None
    try:
        result = run.run(node, None, ON_THREAD)
    except EcAgentError as error:
        refused = error
    assert refused is not None or texts(result.output)[-1] == "answer 1"


# Commits, failures, and rollouts within rollouts.


def commit_after_question(log):
    @commit_tool
    @tool
    def send(text: str) -> str:
        """Send."""
        log.append(text)
        return f"sent {text}"

    model = ScriptedChatModel(
        [[Reply(tool_calls=[("send", {"text": f"by {i}"})], entropies=kit.peak(at))] for i, at in enumerate(PEAKS)]
    )
    return kit.graph(
        MessagesState,
        a_say=lambda s: kit.say(*PEAKS).invoke("?") and None,
        b_ask=lambda s: {"messages": [("human", f"told {interrupt(kit.rollout_index())}")]},
        c_say=lambda s: {"messages": [model.invoke(s["messages"])]},
        d_tools=ToolNode([send]),
    )


def test_after_the_answer_a_commit(run, tmp_path):
    log = []
    saver = InMemorySaver()
    for said in ({"messages": "go"}, Command(resume="yes")):
        node = best_of_n(commit_after_question(log), n=3, on_commit="execute")
        done = run.invoke(kit.outer(node, checkpointer=saver), said, ON_THREAD)
        assert log == ([] if asked(done) else ["by 1"])
    assert texts(done) == ["go", "told yes", "", "sent by 1"]
    run.invoke(kit.outer(node, checkpointer=saver), None, ON_THREAD)
    assert log == ["by 1"]


def test_after_the_answer_a_commit_that_is_routed_onward(run):
    log = []
    node = best_of_n(commit_after_question(log), n=3)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, ON_THREAD)
    done = run.invoke(graph, Command(resume="yes"), ON_THREAD)
    assert log == []
    assert [call["args"] for call in done["messages"][-1].tool_calls] == [{"text": "by 1"}]


def test_a_winner_that_fails_after_the_answer_fails_the_run(run):
    def ask(state):
        told = interrupt("?")
        if told == "break":
            raise LookupError("broken by the answer")
        return {"messages": [("human", told)]}

    graph = kit.outer(best_of_n(Asking(ask).graph, n=3), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, ON_THREAD)
    with pytest.raises(LookupError, match="broken by the answer"):
        run.invoke(graph, Command(resume="break"), ON_THREAD)


@SAME
def test_a_nested_winner_that_asks(run):
    agent = Asking()
    outer_agent = kit.graph(MessagesState, inner=best_of_n(agent.graph, n=3))
    graph = kit.outer(best_of_n(outer_agent, n=2), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, ON_THREAD)) == [{"ask": 1}]
    assert len(agent.calls) == 6
    done = run.invoke(graph, Command(resume="yes"), ON_THREAD)
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert len(agent.calls) == 7


@SAME
def test_a_nested_winner_that_asks_in_another_process(tmp_path):
    path = tmp_path / "saver.sqlite"
    for said in ({"messages": "go"}, Command(resume="yes")):
        agent = Asking()
        outer_agent = kit.graph(MessagesState, inner=best_of_n(agent.graph, n=3))
        with sqlite_saver(path) as saver:
            done = kit.outer(best_of_n(outer_agent, n=2), checkpointer=saver).invoke(said, ON_THREAD)
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert len(agent.calls) == 1
    assert threads_in(path) == {"t"}


def test_a_committing_tool_that_asks_first(run):
    log = []

    @commit_tool
    @tool
    def send(text: str) -> str:
        """Send."""
        if interrupt(f"send {text}?") != "yes":
            return "not sent"
        log.append(text)
        return "sent"

    model = ScriptedChatModel(
        [[Reply(tool_calls=[("send", {"text": f"by {i}"})], entropies=kit.peak(at))] for i, at in enumerate(PEAKS)]
    )
    agent = kit.graph(MessagesState, say=lambda s: {"messages": [model.invoke(s["messages"])]}, tools=ToolNode([send]))
    graph = kit.outer(best_of_n(agent, n=3, on_commit="execute"), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, ON_THREAD)) == ["send by 1?"]
    assert log == []
    done = run.invoke(graph, Command(resume="yes"), ON_THREAD)
    assert log == ["by 1"]
    assert texts(done)[-1] == "sent"
