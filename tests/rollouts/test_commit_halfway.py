"""A step that was left halfway, after its action, is run again from its start; the action is not."""

from __future__ import annotations

import operator
import warnings
from typing import Annotated

import kit
import mailing
import pytest
from kit import THREAD
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Send
from mailing import executing, said
from typing_extensions import TypedDict


class Log(TypedDict):
    log: Annotated[list, operator.add]
    item: str


def to(result):
    return [each["args"].get("to") for each in result.selection.commits]


class Summing(AgentMiddleware):
    """Has a model look over what each tool gave."""

    model = kit.say(3, 9)

    def wrap_tool_call(self, request, handler):
        answer = handler(request)
        self.model.invoke("?")
        return answer

    async def awrap_tool_call(self, request, handler):
        answer = await handler(request)
        await self.model.ainvoke("?")
        return answer


CALLS = {
    "one": ["send"],
    "two": ["send", "send"],
    "a harmless one last": ["send", "search"],
    "a harmless one first": ["search", "send", "send"],
}


@pytest.mark.parametrize("goes_on", [False, True], ids=["ends", "goes on"])
@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
def test_middleware_that_asks_a_model_after_the_tool(run, post, saver, calls, goes_on):
    def ask(index):
        return [(name, {"to" if name == "send" else "q": f"{index}{place}"}) for place, name in enumerate(calls)]

    model = mailing.script(*[[ask(i), f"end {i}"] for i in range(2)])
    agent = create_agent(model, post.tools, middleware=[Summing()])
    graph = kit.outer(executing(agent, post.send, continue_after_commit=goes_on), checkpointer=saver)
    done = run.invoke(graph, {"messages": "go"}, THREAD)
    assert post.done == [f"1{place}" for place, name in enumerate(calls) if name == "send"]
    answers = [("tool", f"{'sent' if name == 'send' else 'found'} 1{place}") for place, name in enumerate(calls)]
    assert said(done["messages"])[2:] == [
        *answers,
        *([("ai", f"end {done['messages'][-1].content[-1]}")] if goes_on else []),
    ]


def test_a_tools_node_that_asks_a_model_between_its_calls(run, post):
    by_name = {tool.name: tool for tool in post.tools}
    judge = kit.say(3, 9)

    def use(state):
        found = []
        for call in state["messages"][-1].tool_calls:
            found.append(by_name[call["name"]].invoke(call))
            judge.invoke("?")
        return {"messages": found}

    asked = [("send", {"to": "ann"}), ("search", {"q": "bob"}), ("send", {"to": "bob"})]
    agent = mailing.by_hand(mailing.script(["no"], [asked, "end"]), use)
    result = run.run(executing(agent, post.send, continue_after_commit=True), {"messages": "go"})
    assert post.done == to(result) == ["ann", "bob"]
    assert [content for _, content in said(result.output["messages"])] == [
        *("go", "", "sent ann", "found bob", "sent bob", "end")
    ]


@pytest.mark.parametrize("branches", [1, 3])
@pytest.mark.parametrize("second", ["again", "another"])
def test_a_step_that_makes_two_calls_by_itself(run, post, branches, second):
    def act(state):
        first = f"to {state['item']}"
        return {"log": [post.send.invoke({"to": each}) for each in (first, first if second == "again" else "it")]}

    builder = StateGraph(Log)
    model = kit.say(3, 9)
    builder.add_node("ask", lambda _: model.invoke("?") and {"log": []})
    builder.add_node("act", act)
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", lambda _: [Send("act", {"item": str(i)}) for i in range(branches)], ["act"])
    # Which of the parallel branches acts first is the threads' affair, and so whether the rollouts are the same.
    same = pytest.warns(match="repeat an earlier one")
    with same if branches == 1 else warnings.catch_warnings(action="ignore"):
        result = run.run(executing(builder.compile(), post.send, continue_after_commit=True), {"log": []})
    firsts = [f"to {i}" for i in range(branches)]
    assert post.done == sorted([*firsts, *(firsts if second == "again" else ["it"] * branches)])
    assert sorted(to(result)) == post.done
    assert sorted(result.output["log"]) == [f"sent {each}" for each in post.done]


def test_in_another_process_it_is_answered_from_the_journal(post, tmp_path):
    down = [True]

    class Judging(Summing):
        def wrap_tool_call(self, request, handler):
            answer = handler(request)
            if down:
                raise LookupError("the judge is down")
            self.model.invoke("?")
            return answer

    model = mailing.script(*[[[("send", {"to": str(i)})], f"end {i}"] for i in range(2)])
    agent = create_agent(model, post.tools, middleware=[Judging()])
    node = executing(agent, post.send, continue_after_commit=True)
    for given in ({"messages": "go"}, None, None):
        with SqliteSaver.from_conn_string(str(tmp_path / "runs.sqlite")) as saver:
            graph = kit.outer(node, checkpointer=saver)
            if down:
                with pytest.raises(LookupError) as failed:
                    graph.invoke(given, THREAD)
                assert "before that, this was carried out and stays done: send({'to': '1'})" in failed.value.__notes__
            else:
                done = graph.invoke(given, THREAD)
        assert post.done == ["1"]
        if given is None:
            down.clear()
    assert said(done["messages"])[-1][0] == "ai"
