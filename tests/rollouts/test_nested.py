"""A best_of_n inside a rollout; LLM caches; messages that something else still holds."""

from __future__ import annotations

import copy

import kit
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState

from ec_agent import Limits, best_of_n
from ec_agent.testing import Reply, ScriptedChatModel, message_of

SAME = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
THREAD = {"configurable": {"thread_id": "t"}}


def wrapped(inner, how):
    """The inner node in an agent, in each way a best_of_n can be used inside another."""
    before, after = kit.say(15, 3, 9), kit.say(17, 17, 17)

    def ask(state):
        before.invoke("before")
        return {}

    def last(state):
        return {"messages": [after.invoke("after")]}

    inside = {
        "node": inner,
        "subgraph": inner.as_agent(),
        "function": lambda state: inner.invoke(state),
        "full state": lambda state: {"messages": inner.as_agent().invoke(state)["messages"][-1:]},
        "run": lambda state: {"messages": inner.run(state).output["messages"][-1:]},
    }[how]
    return kit.graph(MessagesState, ask=ask, inner=inside, last=last)


@SAME
@pytest.mark.parametrize("how", ["node", "subgraph", "function", "full state", "run"])
def test_only_the_inner_winners_calls_are_on_the_outer_timeline(run, how):
    # The inner rollouts have indices of their own: 0 to 3, of which 2 wins.
    lengths = ScriptedChatModel(
        lambda messages, index: (
            Reply(f"inner {index}", entropies=kit.peak(2, length=30 + index))
            if index == 2
            else Reply(f"inner {index}", entropies=kit.peak(20 + index, length=30 + index))
        )
    )
    node = best_of_n(wrapped(best_of_n(kit.chat(lengths), n=4), how), n=2)
    result = run.run(node, {"messages": "go"})
    for trajectory in result.trajectories:
        assert [call.tokens for call in trajectory.calls] == [20, 32, 20]
        assert trajectory.coverage == 1.0
    assert [m.content for m in result.output["messages"]] == ["go", "inner 2", "answer 1"]
    # What it cost is another matter: the inner losers were paid for too.
    assert result.selection.usage["generated_tokens"] == 2 * (20 + 30 + 31 + 32 + 33 + 20)


def test_nested_rollouts_choose_each_for_itself(run):
    """Each outer rollout gets its own inner winner: the inner script depends on what it is asked."""

    def script(messages, index):
        asked = int(messages[-1].content)
        return Reply(f"{asked}.{index}", entropies=kit.peak(2 if index == asked % 3 else 12 + index))

    inner = best_of_n(kit.chat(ScriptedChatModel(script)), n=3)

    def one(state):
        index = kit.rollout_index()
        done = inner.as_agent().invoke({"messages": [HumanMessage(str(index))]})
        kit.say(15, 9, 3).invoke("?")
        return {"messages": done["messages"][-1:]}

    result = run.run(best_of_n(kit.graph(MessagesState, one=one), n=3), {"messages": "go"})
    assert [action.content for action in result.final_actions] == ["0.0", "1.1", "2.2"]


@SAME
def test_a_nested_receipt_stays_inside(run):
    events = []
    inner = best_of_n(kit.chat(kit.say(15, 3)), n=2)
    node = best_of_n(kit.graph(MessagesState, inner=inner), n=2)
    result = run.run(node, {"messages": "go"}, on_event=events.append)
    assert len(result.trajectories) == 2
    assert [e["type"] for e in events].count("ec_agent.selection") == 1
    assert len(result.selection.candidates) == 2


@SAME
def test_nested_under_a_saver(run):
    inner = best_of_n(kit.chat(kit.say(15, 3)), n=2)
    node = best_of_n(kit.graph(MessagesState, inner=inner), n=2)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    for turn in range(2):
        done = run.invoke(graph, {"messages": "go"}, THREAD)
        assert kit.answers(done["messages"]) == ["answer 1"] * (turn + 1)


def test_a_failed_inner_selection_fails_its_rollout_only(run):
    blind = ScriptedChatModel(
        lambda messages, index: Reply(
            f"x{index}", entropies=None if messages[-1].content == "0" else kit.peak(3 + index)
        )
    )
    inner = best_of_n(kit.chat(blind), n=2).as_agent()

    def one(state):
        index = kit.rollout_index()
        return {"messages": inner.invoke({"messages": str(index)})["messages"][-1:]}

    result = run.run(best_of_n(kit.graph(MessagesState, one=one), n=2), {"messages": "go"})
    assert "NoScoredRolloutError" in result.selection.candidates[0].error
    assert result.selection.winner == 1


@pytest.fixture
def global_cache():
    before = get_llm_cache()
    set_llm_cache(cache := InMemoryCache())
    yield cache
    set_llm_cache(before)


def held(cache):
    """A copy of everything the cache holds."""
    return copy.deepcopy([g.message for generations in cache._cache.values() for g in generations])


@SAME
@pytest.mark.parametrize("where", ["global", "model"])
@pytest.mark.parametrize("streaming", [False, True])
def test_cache_hits_stay_scorable_and_the_cache_untouched(run, where, streaming, global_cache):
    own = InMemoryCache()
    cache = global_cache if where == "global" else own
    model = ScriptedChatModel([[Reply("cached", entropies=kit.peak(3))]], cache=None if where == "global" else own)
    node = best_of_n(kit.chat(model), n=3, limits=Limits(max_concurrency=1))
    kept = None
    for _ in range(2):
        graph = kit.outer(node)
        if streaming:
            run.stream(graph, {"messages": [HumanMessage("go", id="g")]}, stream_mode="messages")
        result = run.run(node, {"messages": [HumanMessage("go", id="g")]})
        assert [c.centroid for c in result.selection.candidates] == [kit.centroid(3)] * 3
        assert "logprobs" not in result.output["messages"][-1].response_metadata
        now = held(cache)
        assert all("logprobs" in message.response_metadata for message in now)
        assert kept is None or len(now) == len(kept)
        kept = now


class Repeats(BaseChatModel):
    """A fake that returns one and the same message object each time."""

    message: object = None

    @property
    def _llm_type(self):
        return "repeats"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=self.message)])


@SAME
def test_a_message_object_that_is_returned_twice_is_not_mutated(run):
    message = message_of(Reply("same", entropies=kit.peak(3)))
    message.id = "fixed"
    before = copy.deepcopy(message)
    agent = kit.chat(Repeats(message=message))
    result = run.run(best_of_n(agent, n=3), {"messages": "go"})
    done = run.invoke(kit.outer(best_of_n(agent, n=3)), {"messages": "go"})
    assert message == before
    assert message.response_metadata == before.response_metadata
    assert [c.centroid for c in result.selection.candidates] == [kit.centroid(3)] * 3
    assert "logprobs" not in done["messages"][-1].response_metadata


@SAME
def test_logprobs_are_kept_when_asked_for(run):
    node = best_of_n(kit.chat(kit.say(3)), n=2, keep_logprobs=True)
    done = run.invoke(kit.outer(node), {"messages": "go"})
    assert len(done["messages"][-1].response_metadata["logprobs"]["content"]) == 20


@SAME
def test_token_texts_are_kept_when_asked_for(run):
    result = run.run(best_of_n(kit.chat(kit.say(3, length=3)), n=1, keep_text=True), {"messages": "go"})
    assert result.trajectories[0].calls[0].texts == ("w0 ", "w1 ", "w2 ")
    result = run.run(best_of_n(kit.chat(kit.say(3, length=3)), n=1), {"messages": "go"})
    assert result.trajectories[0].calls[0].texts is None
