"""Called from a user's own node, whatever the call brings along: writes, once, for the right question."""

from __future__ import annotations

import operator
from typing import Annotated

import kit
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from ec_agent import AllRolloutsFailedError, NoScoredRolloutError, StateMismatchError, best_of_n
from ec_agent.errors import AgentError
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)  # rollout 1 wins


class State(MessagesState):
    log: Annotated[list, operator.add]


def agent(model=None):
    model = model or kit.say(*PEAKS)

    def answer(state):
        return {"messages": [model.invoke(state["messages"])], "log": [f"r{kit.rollout_index()}"]}

    return kit.graph(State, answer=answer)


def question(**more):
    return {"messages": [HumanMessage("q")], "log": ["old"], **more}


@pytest.mark.parametrize("config", [{"configurable": {"user": "u"}}, {"configurable": {"thread_id": "mine"}}, {}, None])
@pytest.mark.parametrize("bound", [False, True])
def test_an_own_config_does_not_hide_the_graph(run, config, bound):
    node = best_of_n(agent(), n=3)
    called = node.with_config(config or {}) if bound else node

    def solve(state):
        return called.invoke(state) if bound else called.invoke(state, config)

    async def asolve(state):
        return await (called.ainvoke(state) if bound else called.ainvoke(state, config))

    done = run.invoke(kit.outer(RunnableLambda(solve, afunc=asolve), State), question())
    assert done["log"] == ["old", "r1"]
    assert [m.content for m in done["messages"]] == ["q", "answer 1"]


def test_a_batch_keeps_order_after_an_interrupt(run):
    model = ScriptedChatModel(
        lambda messages, index: Reply(f"to {messages[-1].content}", entropies=kit.peak(PEAKS[index]), delay=0.005)
    )
    node, seen = best_of_n(agent(model), n=3), []
    asked = [{"messages": [HumanMessage(f"q{i}")], "log": []} for i in range(5)]

    def note(batch):
        seen.append([next(c.update["messages"][-1].content for c in w if "messages" in c.update) for w in batch])
        interrupt("go on?")
        return {"log": ["done"]}

    async def asolve(state):
        return note(await node.abatch(asked))

    graph = kit.outer(
        RunnableLambda(lambda state: note(node.batch(asked)), afunc=asolve), State, checkpointer=InMemorySaver()
    )
    config = {"configurable": {"thread_id": "t"}}
    run.invoke(graph, question(), config)
    run.invoke(graph, Command(resume="yes"), config)
    assert seen == [[f"to q{i}" for i in range(5)]] * 2


def test_a_batch_may_return_its_exceptions(run):
    def fails(state):
        raise LookupError("lost")

    node, seen = best_of_n(fails, n=1), []

    async def asolve(state):
        seen.extend(await node.abatch([state, state], return_exceptions=True))
        return {"log": []}

    def solve(state):
        seen.extend(node.batch([state, state], return_exceptions=True))
        return {"log": []}

    run.invoke(kit.outer(RunnableLambda(solve, afunc=asolve), State), question())
    assert [type(error) for error in seen] == [AllRolloutsFailedError] * 2


@pytest.mark.parametrize("outage", [RuntimeError("rate limit"), None])
def test_a_resumed_run_asks_again_when_all_had_failed(run, outage):
    state = {"broken": True, "calls": 0}
    well = kit.say(*PEAKS)

    def solve(asked):
        state["calls"] += 1
        if not state["broken"]:
            return {"messages": [well.invoke(asked["messages"])]}
        if outage is not None:
            raise outage
        return {"messages": [ScriptedChatModel([[Reply("mute", tokens=3)]]).invoke(asked["messages"])]}

    graph = kit.outer(best_of_n(solve, n=3), State, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    for _ in range(2):  # as long as the outage lasts, so does the error, with its causes
        with pytest.raises((AllRolloutsFailedError, NoScoredRolloutError)) as caught:
            run.invoke(graph, question() if state["calls"] == 0 else None, config)
        assert (caught.value.__cause__ is not None) == (outage is not None)
    state["broken"] = False
    assert run.invoke(graph, None, config)["messages"][-1].content == "answer 1"
    assert state["calls"] == 9


@pytest.mark.parametrize("kind", [agent, lambda: lambda state: {"log": ["x"], "messages": []}])
@pytest.mark.parametrize("inside", ["entrypoint", "task"])
def test_without_a_state_to_write_it_is_refused(kind, inside):
    node = best_of_n(kind(), n=1)

    @task
    def solve(state):
        return node.invoke(state)

    @entrypoint()
    def flow(state):
        return solve(state).result() if inside == "task" else node.invoke(state)

    with pytest.raises(StateMismatchError, match=r"as_agent\(\)"):
        flow.invoke(question())


def test_a_function_whose_keys_are_all_unknown(run):
    graph = kit.outer(best_of_n(lambda state: {"mesages": ["x"]}, n=2), State)
    with pytest.raises(AllRolloutsFailedError, match=r"'mesages'.*no key in common"):
        run.invoke(graph, question())


@pytest.mark.parametrize("wrap", [lambda a: a.with_retry(), lambda a: a.with_fallbacks([a]), lambda a: a.bind()])
def test_a_wrapper_around_a_graph_is_refused(wrap):
    with pytest.raises(AgentError, match="whole state"):
        best_of_n(wrap(agent()))


@pytest.mark.parametrize(
    "misuse",
    [
        lambda writes, state: {"log": state["log"] + writes},
        lambda writes, state: {"log": writes},
        lambda writes, state: writes + writes,
        lambda writes, state: writes * 2,
    ],
)
def test_writes_are_not_added_to_anything(misuse):
    node = best_of_n(agent(), n=2)
    with pytest.raises(AgentError, match="as_agent"):
        kit.outer(lambda state: misuse(node.invoke(state), state), State).invoke(question())


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")
def test_the_contexts_n_is_for_the_outermost(run):
    ran = []

    def solve(state):
        ran.append(1)
        return {"messages": [kit.say(1, 2, 3, 4).invoke(state["messages"])], "log": []}

    counting = best_of_n(solve, n=2)
    nested = StateGraph(State)
    nested.add_node("inner", counting)
    nested.add_edge(START, "inner")
    graph = kit.outer(best_of_n(nested.compile(), n=3), State)
    run.invoke(graph, question(), None, context={"n": 4})
    assert len(ran) == 4 * 2
