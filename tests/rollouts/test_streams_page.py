"""docs/streams.md, line by line: what each stream and event API shows of losers and of the winner."""

from __future__ import annotations

import asyncio
import re
import warnings
from pathlib import Path

import kit
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState

from ec_agent import best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel

PAGE = Path(__file__).parents[2] / "docs" / "streams.md"
ASK = {"messages": "go"}
RECEIPT, PROGRESS, MODEL = "ec_agent.selection", "ec_agent.rollout.finished", "on_chat_model_end"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*v3 streaming protocol")


def one_word():
    """A model whose rollout 1 wins."""
    return ScriptedChatModel([[Reply(f"word-{i}", entropies=kit.peak(at))] for i, at in enumerate((15, 3, 9))])


def plain():
    """An agent of one model call."""
    return kit.chat(one_word())


def with_tools():
    """An agent with a tool: its calls and their results are words, too."""

    @read_only
    @tool
    def look(what: str) -> str:
        """Look."""
        return f"seen {what}"

    return create_agent(
        ScriptedChatModel(
            [
                [
                    Reply("", tool_calls=[("look", {"what": f"word-{i}"})], entropies=kit.peak(at)),
                    Reply(f"word-{i}", entropies=kit.peak(at)),
                ]
                for i, at in enumerate((15, 3, 9))
            ]
        ),
        [look],
    )


def function():
    """An agent that is no graph."""
    model = one_word()
    return lambda state: {"messages": [model.invoke(state["messages"])]}


AGENTS = {"plain": plain, "tools": with_tools, "function": function}
# LangGraph looks for messages under a state's keys, which a function alone does not have, and for checkpoints where
# there is a checkpointer.
SHOWS_NONE = {
    ('stream_mode="messages"', "as an agent", "function"),
    *(('stream_mode="checkpoints"', "as an agent", agent) for agent in AGENTS),
}
FORMS = {
    "node": lambda node: kit.outer(node, checkpointer=InMemorySaver()),
    "from a function": lambda node: kit.graph(
        MessagesState, solve=(node.invoke, node.ainvoke), checkpointer=InMemorySaver()
    ),
    "as an agent": lambda node: node.as_agent(),
}


class Everything(BaseCallbackHandler):
    """A user's own handler."""

    def __init__(self):
        self.heard = []

    def on_chat_model_start(self, *args, **kwargs):
        self.heard.append("on_chat_model_start")

    def on_llm_end(self, response, **kwargs):
        self.heard.append(("on_llm_end", response))

    def on_custom_event(self, name, data, **kwargs):
        self.heard.append((name, data))

    def on_chain_start(self, serialized, inputs, **kwargs):
        self.heard.append(("on_chain_start", kwargs.get("name")))


def streamed(mode, **more):
    def sync(graph):
        return list(graph.stream(ASK, kit.THREAD, stream_mode=mode, **more))

    async def wait(graph):
        return [part async for part in graph.astream(ASK, kit.THREAD, stream_mode=mode, **more)]

    return sync, lambda graph: asyncio.run(wait(graph))


def events(version):
    async def wait(graph):
        return [event async for event in graph.astream_events(ASK, kit.THREAD, version=version)]

    return (lambda graph: asyncio.run(wait(graph)),)


async def events_v3(graph):
    return [event async for event in await graph.astream_events(ASK, kit.THREAD, version="v3")]


async def log(graph):
    return [patch async for patch in graph.astream_log(ASK, kit.THREAD)]


def called_back(graph):
    ear = Everything()
    graph.invoke(ASK, {**kit.THREAD, "callbacks": [ear]})
    return ear.heard


# How it is followed; whether losers and the winner are seen, by what they say; what else is among it, and what is not.
ROWS = {
    'stream_mode="values"': (streamed("values"), False, True, [], [RECEIPT, PROGRESS]),
    'stream_mode="updates"': (streamed("updates"), False, True, [], [RECEIPT, PROGRESS]),
    'stream_mode="messages"': (streamed("messages"), False, True, [], [RECEIPT, PROGRESS]),
    'stream_mode="tasks"': (streamed("tasks"), False, True, [], [RECEIPT, PROGRESS]),
    'stream_mode="debug"': (streamed("debug"), False, True, [], [RECEIPT, PROGRESS]),
    'stream_mode="checkpoints"': (streamed("checkpoints"), False, True, [], [RECEIPT, PROGRESS]),
    'stream_mode="tools"': (streamed("tools"), False, False, [], [RECEIPT, PROGRESS]),
    'stream_mode="custom"': (streamed("custom"), False, False, [RECEIPT, PROGRESS], []),
    "subgraphs=True": (streamed("updates", subgraphs=True), True, True, ["records"], []),
    'astream_events(version="v1")': (events("v1"), False, True, [MODEL], ["records", "on_chat_model_stream"]),
    'astream_events(version="v2")': (events("v2"), False, True, [MODEL, RECEIPT], ["records", "on_chat_model_stream"]),
    'astream_events(version="v3")': ((lambda g: asyncio.run(events_v3(g)),), False, True, ["messages"], ["records"]),
    'stream_events(version="v3")': (
        (lambda g: list(g.stream_events(ASK, kit.THREAD, version="v3")),),
        False,
        True,
        ["messages"],
        ["records"],
    ),
    "astream_log": ((lambda g: asyncio.run(log(g)),), False, True, ["/logs/scripted/final_output"], ["records"]),
    "callbacks": ((called_back,), True, True, [RECEIPT, "'rollout'", "'select'"], []),
}


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ROWS)
def test_who_is_seen(name, form, agent):
    ways, losers, winner, among, missing = ROWS[name]
    for follow in ways:
        seen = repr(follow(FORMS[form](best_of_n(AGENTS[agent](), n=3))))
        assert ("word-0" in seen or "word-2" in seen) == losers
        assert ("word-1" in seen) == (winner and (name, form, agent) not in SHOWS_NONE)
        assert [each for each in among if each not in seen] == []
        assert [each for each in missing if each in seen] == []


def test_the_page_has_these_lines_and_no_others():
    lines = re.findall(r"^\| `([^`]+)`", PAGE.read_text(), re.MULTILINE)
    assert lines == list(ROWS)
    for line in PAGE.read_text().splitlines():
        if (found := re.match(r"\| `([^`]+)`[^|]*\|([^|]*)\|([^|]*)\|", line)) is not None:
            _, losers, winner, *_ = ROWS[found[1]]
            assert (found[2].strip() in ("nothing", "progress events, without any text")) == (not losers)
            assert winner or found[3].strip() in ("nothing", "the same, and the receipt")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_winners_answers_appear_as_model_events(version):
    seen = events(version)[0](kit.outer(best_of_n(with_tools(), n=3)))
    models = [event for event in seen if event["event"].startswith("on_chat_model")]
    assert [event["event"] for event in models] == ["on_chat_model_start", "on_chat_model_end"] * 2
    assert {event["name"] for event in models} == {"scripted"}
    assert {event["metadata"]["langgraph_node"] for event in models} == {"solve"}
    ends = [event["data"]["output"] for event in models[1::2]]
    said = [end if version == "v2" else end["generations"][0][0]["message"] for end in ends]
    assert [message.content for message in said] == ["", "word-1"]
    assert said[0].tool_calls[0]["args"] == {"what": "word-1"}
    assert [event["event"] for event in seen].index("on_chat_model_start") > 1


def test_earlier_messages_are_not_sent_again():
    """An agent that writes its whole conversation back."""
    model = one_word()
    agent = kit.graph(MessagesState, one=lambda s: {"messages": [*s["messages"], model.invoke("?")]})
    asked = {"messages": [("user", "go"), ("ai", "before"), ("user", "on")]}

    async def follow():
        return [event async for event in kit.outer(best_of_n(agent, n=3)).astream_events(asked, version="v2")]

    ends = [event["data"]["output"].content for event in asyncio.run(follow()) if event["event"] == MODEL]
    assert ends == ["word-1"]


def test_a_users_own_handler_hears_each_call_once():
    heard = called_back(kit.outer(best_of_n(plain(), n=3)))
    assert heard.count("on_chat_model_start") == 3
    assert heard.count(("on_chain_start", "select")) == 2  # the node, and what runs in it
    assert sum(each[0] == RECEIPT for each in heard) == 1


def test_events_and_a_users_handler_together():
    ear = Everything()

    async def follow():
        graph = kit.outer(best_of_n(plain(), n=3))
        return [event async for event in graph.astream_events(ASK, {"callbacks": [ear]}, version="v2")]

    seen = asyncio.run(follow())
    assert sum(event["name"] == RECEIPT for event in seen) == 1
    assert sum(each[0] == RECEIPT for each in ear.heard) == 1
    assert ear.heard.count("on_chat_model_start") == 3


def test_nested_rollouts_stay_hidden_too():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        within = best_of_n(plain(), n=3)
        graph = kit.outer(best_of_n(kit.outer(within), n=2))
        seen = repr(events("v2")[0](graph)) + repr(list(graph.stream_events(ASK, version="v3")))
    assert "word-1" in seen
    assert "word-0" not in seen
    assert "word-2" not in seen
