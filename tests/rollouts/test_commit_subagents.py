"""A commit in an agent that a tool asks: what is stopped and routed is the same, however models number their calls."""

from __future__ import annotations

import asyncio

import kit
import mailing
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import StructuredTool
from langgraph.func import entrypoint
from langgraph.graph import MessagesState
from langgraph.prebuilt import ToolNode

from ec_agent import best_of_n, read_only
from ec_agent.testing import ScriptedChatModel

# How the outer and the inner model number the calls of each of their messages.
NUMBERINGS = {
    "apart": ("outer_{place}", "inner_{place}"),
    "alike": ("call_{place}", "call_{place}"),
    "the other way round": ("call_{back}", "call_{place}"),
    "all the same": ("call", "call"),
}
FORMS = ("create_agent", "loop", "function")
pytestmark = kit.SAME  # rollouts differ in what is chosen here by their entropies alone


class Numbering(ScriptedChatModel):
    """A model that numbers the calls of each message from 0."""

    ids: str = ""

    def _generate(self, *args, **kwargs):
        result = super()._generate(*args, **kwargs)
        for each in result.generations:
            each.message.tool_calls = [
                {**call, "id": self.ids.format(place=place, back=9 - place)}
                for place, call in enumerate(each.message.tool_calls)
            ]
        return result


def replying(ids, reply):
    """A model; ``reply(told, words, index)`` is what it says after so many tool messages."""

    def script(messages, index):
        told = sum(m.type == "tool" for m in messages)
        return mailing.reply(reply(told, messages[0].content, index), 9 - 3 * (index or 0))

    model = Numbering(script)
    model.ids = ids
    return model


def asked(form, model, tools):
    """An agent that takes a text and gives a text, in one of three ways to build it."""
    if form == "function":
        by_name = {each.name: each for each in tools}

        @entrypoint()
        def agent(text):
            said = [HumanMessage(text)]
            while True:
                said.append(model.invoke(said))
                if not said[-1].tool_calls:
                    return said[-1].content
                said += [by_name[call["name"]].invoke(call) for call in said[-1].tool_calls]

        return agent.invoke
    agent = mailing.agent(form, model, tools) if form == "loop" else create_agent(model, tools)
    return lambda text: agent.invoke({"messages": [HumanMessage(text)]})["messages"][-1].content


def delegating(form, model, tools, name="delegate"):
    """A harmless tool that has a subagent do the work."""
    ask = asked(form, model, tools)

    def delegate(task: str) -> str:
        """Have somebody do it."""
        return ask(task)

    async def adelegate(task: str) -> str:
        return await asyncio.to_thread(ask, task)

    return read_only(StructuredTool.from_function(delegate, adelegate, name=name))


def inner(told, words, index):
    return [("send", {"to": f"{words} {index}"})] if told == 0 else f"inner end {index}"


def outer(told, words, index):
    return [("delegate", {"task": "ask"})] if told == 0 else f"outer end {index}"


def outcome(run, agent, post, **more):
    """All that anybody can see of the run, but for ids."""
    result = run.run(best_of_n(agent, n=2, commit=[post.send], **more), {"messages": "go"})
    said = kit.gist(result.output["messages"])
    return said, post.done, [(c["tool"], c["args"]) for c in result.selection.commits]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_what_is_routed_is_the_agents_own_call(run, post, form, numbering):
    out, within = NUMBERINGS[numbering]
    tool = delegating(form, replying(within, inner), [post.send])
    said, done, _ = outcome(run, create_agent(replying(out, outer), [tool]), post)
    assert said == [("human", "go", []), ("ai", "", [("delegate", {"task": "ask"})])]
    assert done == []


@pytest.mark.parametrize("goes_on", [False, True], ids=["ends", "goes on"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_what_is_executed_is_done_in_its_course(run, post, form, numbering, goes_on):
    out, within = NUMBERINGS[numbering]
    tool = delegating(form, replying(within, inner), [post.send])
    agent = create_agent(replying(out, outer), [tool])
    said, done, commits = outcome(run, agent, post, on_commit="execute", continue_after_commit=goes_on)
    assert said[1:3] == [("ai", "", [("delegate", {"task": "ask"})]), ("tool", "inner end 1", [])]
    assert len(said) == 3 + goes_on
    assert done == ["ask 1"]
    assert commits == [("delegate", {"task": "ask"})]


@pytest.mark.parametrize("numbering", ["apart", "alike", "the other way round"])
def test_several_that_are_asked_in_one_message(run, post, numbering):
    out, within = NUMBERINGS[numbering]
    tool = delegating("create_agent", replying(within, inner), [post.send])

    def both(told, words, index):
        return [("delegate", {"task": name}) for name in ("a", "b")] if told == 0 else "outer end"

    agent = create_agent(replying(out, both), [tool])
    said, done, _ = outcome(run, agent, post, on_commit="execute")
    assert [m for m in said if m[0] == "tool"] == [("tool", "inner end 1", [])] * 2
    assert done == ["a 1", "b 1"]


@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_a_subagent_with_a_tool_of_the_same_name(run, post, numbering):
    """Each asks the next for the very same: what is routed is the outermost message, in its own conversation."""
    out, within = NUMBERINGS[numbering]
    deepest = delegating("create_agent", replying(within, inner), [post.send])
    middle = delegating("create_agent", replying(within, outer), [deepest])
    said, done, _ = outcome(run, create_agent(replying(out, outer), [middle]), post)
    assert said == [("human", "go", []), ("ai", "", [("delegate", {"task": "ask"})])]
    assert done == []


@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_an_earlier_subagent_does_not_interfere(run, post, numbering):
    """The subagent has called a harmless tool; then the agent itself calls the one that commits, with the same id."""
    out, within = NUMBERINGS[numbering]
    looking = replying(within, lambda told, _, i: [("search", {"q": "x"})] if told == 0 else "seen")
    tool = delegating("create_agent", looking, [post.search])

    def then_sends(told, words, index):
        return [[("delegate", {"task": "ask"})], [("send", {"to": f"bob {index}"})], "end"][told]

    agent = create_agent(replying(out, then_sends), [tool, post.send])
    said, done, _ = outcome(run, agent, post)
    assert said[-1] == ("ai", "", [("send", {"to": "bob 1"})])
    assert done == []
    read_only(post.search)
    said, done, commits = outcome(run, agent, post, on_commit="execute", continue_after_commit=True)
    assert done == ["bob 1"]
    assert commits == [("send", {"to": "bob 1"})]
    assert said[-1] == ("ai", "end", [])


@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_a_subagents_call_is_not_the_agents(run, post, numbering):
    """One message calls ``send``, and a subagent that asks for the very same under the same id."""
    out, within = NUMBERINGS[numbering]
    inner_one = replying(within, lambda told, *_: [("send", {"to": "x"})] if told == 0 else "in")
    tool = delegating("create_agent", inner_one, [post.send])
    model = replying(out, lambda told, words, index: f"end {index}")
    own = {"name": "send", "args": {"to": "x"}, "id": within.format(place=0, back=9), "type": "tool_call"}
    other = {"name": "delegate", "args": {"task": "y"}, "id": "d", "type": "tool_call"}

    def asks(state):
        return {"messages": [model.invoke(state["messages"]), AIMessage("", tool_calls=[own, other], id="own")]}

    agent = kit.graph(MessagesState, ask=asks, tools=ToolNode([post.send, tool]))
    said, done, commits = outcome(run, agent, post, on_commit="execute")
    assert ("send", {"to": "x"}) in commits
    assert done == ["x", "x"]
    assert len(set(post.keys)) == 2
    assert said[-2:] == [("tool", "sent x", []), ("tool", "in", [])]
