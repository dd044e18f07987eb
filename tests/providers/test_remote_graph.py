"""A remote graph: its models run elsewhere, and only its messages bring their logprobs, as dicts."""

from __future__ import annotations

import pytest
import wire_hosts
import wire_langgraph
import wire_ollama
import wire_openai
from langgraph.graph import MessagesState
from langgraph.pregel.remote import RemoteGraph
from said import PLAIN, REASONING, TOOLS, entropies
from wire import Server

from ec_agent import MissingLogprobsError, NoScoredRolloutError, best_of_n

HI = {"messages": [("user", "hi")]}


def of_openai(turn):
    return wire_openai.AS_OPENAI(turn.content, (), False) if turn.content else None


def of_ollama(turn):
    return [wire_ollama.entry(token) for token in (*turn.thinking, *turn.content)]


def of_fireworks(turn):
    return wire_hosts.FIREWORKS_LISTS.shape(turn.content, (), False)


def of_deepseek(turn):
    return wire_hosts.DEEPSEEK.shape(turn.content, turn.thinking, False)


SHAPES = {"OpenAI": of_openai, "Ollama": of_ollama, "Fireworks lists": of_fireworks, "DeepSeek": of_deepseek}
THINKING = {name: SHAPES[name] for name in ("Ollama", "DeepSeek")}


@pytest.fixture
def nodes(server: Server):
    """Makes best_of_n nodes around the remote graph, sync and async."""

    def make(logprobs, turn, **options):
        server.wire, server.turn = wire_langgraph.graph(logprobs), turn
        remote = RemoteGraph("agent", url=server.url)

        def ask(state: MessagesState):
            return {"messages": remote.invoke(HI)["messages"][1:]}

        async def aask(state: MessagesState):
            return {"messages": (await remote.ainvoke(HI))["messages"][1:]}

        return best_of_n(ask, n=1, **options), best_of_n(aask, n=1, **options)

    return make


async def timelines(nodes):
    node, anode = nodes
    return [list(result.trajectories[0].entropies) for result in (node.run(HI), await anode.arun(HI))]


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_text_is_scored(shape, nodes):
    expected = pytest.approx(entropies(PLAIN.tokens))
    assert await timelines(nodes(SHAPES[shape], PLAIN)) == [expected, expected]


@pytest.mark.parametrize("shape", THINKING)
async def test_thinking_counts_where_it_has_logprobs(shape, nodes):
    expected = pytest.approx(entropies(REASONING.tokens))
    assert await timelines(nodes(THINKING[shape], REASONING)) == [expected, expected]


async def test_a_tool_call_without_logprobs_is_unscored(nodes):
    node, anode = nodes(of_openai, TOOLS)
    with pytest.raises(NoScoredRolloutError, match="'remote' returned no logprobs"):
        node.run(HI)
    with pytest.raises(NoScoredRolloutError, match="'remote' returned no logprobs"):
        await anode.arun(HI)


async def test_on_missing_raise(nodes):
    node, anode = nodes(of_openai, TOOLS, on_missing="raise")
    with pytest.raises(MissingLogprobsError, match="logprobs"):
        node.run(HI)
    with pytest.raises(MissingLogprobsError, match="logprobs"):
        await anode.arun(HI)
