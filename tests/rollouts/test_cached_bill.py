"""Answers from an LLM cache are on the timeline and cost nothing."""

from __future__ import annotations

import json

import kit
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.graph import MessagesState

from ec_agent import Limits, Selection, TraceStore, best_of_n, record_calls
from ec_agent.numbers.call_fields import pack_calls, unpack_calls
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.visual.wording import bill

pytestmark = kit.SAME
ASK = {"messages": [HumanMessage("go", id="g")]}


def cached(length=20, *, filled=True):
    """A model whose answer to ``ASK`` is in its cache."""
    reply = Reply("told", entropies=kit.peak(9, length))
    model = ScriptedChatModel([[reply]], cache=InMemoryCache())
    if filled:
        model.invoke(ASK["messages"])
    return model


def fresh(length=30):
    return ScriptedChatModel(lambda messages, index: Reply(f"new {index}", entropies=kit.peak(9 + index, length)))


def mixed(model, other):
    """Two calls, the first of which a cache answers; only the second is written."""

    def both(state):
        model.invoke(state["messages"])
        return {"messages": [other.invoke("?")]}

    return kit.graph(MessagesState, both=both)


def usage_of(generated, apart):
    whole = {"prompt_tokens": 0, "cached_tokens": 0, "generated_tokens": generated}
    return {**whole, "cached_answer_tokens": apart} if apart else whole


def test_all_from_the_cache(run):
    result = run.run(best_of_n(kit.chat(cached()), n=3), ASK)
    assert result.selection.usage == usage_of(0, 60)
    assert [c.cached_calls for c in result.selection.candidates] == [1, 1, 1]
    assert [(c.tokens, c.centroid) for c in result.selection.candidates] == [(20, kit.centroid(9))] * 3


def test_a_part_from_the_cache(run):
    result = run.run(best_of_n(mixed(cached(), fresh()), n=2), ASK)
    assert result.selection.usage == usage_of(60, 40)
    assert [c.tokens for c in result.selection.candidates] == [50, 50]


def test_the_first_rollout_fills_the_cache_and_pays(run):
    node = best_of_n(kit.chat(cached(filled=False)), n=3, limits=Limits(max_concurrency=1))
    assert run.run(node, ASK).selection.usage == usage_of(20, 40)


def test_a_nested_question(run):
    inner = best_of_n(kit.chat(cached()), n=2)
    result = run.run(best_of_n(kit.graph(MessagesState, inner=inner), n=2), ASK)
    assert result.selection.usage == usage_of(0, 80)
    assert [c.cached_calls for c in result.selection.candidates] == [1, 1]


@pytest.mark.parametrize(
    "limits", [Limits(token_budget=15), Limits(token_budget=15, over_budget="cut"), Limits(max_tokens=15)]
)
def test_limits_see_none_of_it(run, limits):
    model = cached()

    def twice(state):
        return {"messages": [model.invoke(state["messages"]), model.invoke(state["messages"])]}

    agent = kit.graph(MessagesState, twice=twice)
    result = run.run(best_of_n(agent, n=3, limits=limits), {**ASK}, {"max_concurrency": 1})
    assert [c.error for c in result.selection.candidates] == [None] * 3


def test_limits_see_what_was_generated_beside(run):
    node = best_of_n(mixed(cached(), fresh()), n=3, limits=Limits(token_budget=45, max_concurrency=1))
    errors = [c.error for c in run.run(node, ASK).selection.candidates]
    assert errors[:2] == [None, None]
    assert "60 of token_budget=45 tokens were spent" in errors[2]


def test_progress_tells_the_length_and_counts_no_cost(run):
    events = []
    run.run(best_of_n(kit.chat(cached()), n=1), ASK, on_event=events.append)
    (ended,) = [event for event in events if event.get("state") == "ended"]
    assert (ended["generated"], ended["tokens"], ended["calls"]) == (20, 0, 1)


def test_a_model_around_another_that_a_cache_answers():
    inner = cached()

    class Around(ScriptedChatModel):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            return ChatResult(generations=[ChatGeneration(message=inner.invoke(messages))])

    around = Around([[Reply("unused")]])
    with record_calls() as recorder:
        around.invoke(ASK["messages"])
    (call,) = recorder.trajectory().calls
    assert (call.from_cache, call.tokens, call.generated) == (True, 20, 0)


class Passing(ScriptedChatModel):
    """Begins to speak, and goes on with what others say."""

    others: list

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        yield ChatGenerationChunk(message=AIMessageChunk("so: "))
        for other in self.others:
            told = {"logprobs": other.invoke(messages).response_metadata["logprobs"]}
            yield ChatGenerationChunk(message=AIMessageChunk("...", response_metadata=told))


def passing(*others):
    return Passing([[Reply("unused")]], others=list(others))


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((cached(), cached(12)), (True, 33, 0)),
        ((cached(), fresh(12)), (False, 33, 33)),
        ((fresh(), fresh(12)), (False, 43, 43)),
    ],
)
def test_what_is_passed_on_is_from_a_cache_if_all_of_it_is(others, expected):
    with record_calls() as recorder:
        list(passing(*others).stream(ASK["messages"]))
    (call,) = recorder.trajectory().calls
    assert (call.from_cache, call.tokens, call.generated) == expected


def test_what_is_passed_on_is_spent_once(run):
    def agent(state):
        list(passing(fresh(20)).stream(state["messages"]))
        return {"messages": [fresh(5).invoke(state["messages"])]}  # not allowed where 30 tokens were spent

    node = best_of_n(kit.graph(MessagesState, agent=agent), n=2, limits=Limits(max_tokens=30))
    assert [c.error for c in run.run(node, ASK).selection.candidates] == [None] * 2


def test_checkpoints_receipts_and_traces_keep_it(tmp_path):
    node = best_of_n(mixed(cached(), fresh()), n=2)
    with TraceStore(tmp_path / "t.db", create=True) as store:
        result = node.run(ASK)
        number = store.record(result)
        rollouts = list(store.rollouts(selection=number))
    packed = unpack_calls(pack_calls(result.trajectories[0]))
    assert [call.from_cache for call in packed.calls] == [True, False]
    assert [[call.from_cache for call in each.trajectory.calls] for each in rollouts] == [[True, False]] * 2
    assert [dict(each.usage) for each in rollouts] == [usage_of(30, 20)] * 2
    again = Selection.from_dict(json.loads(json.dumps(result.selection.to_dict())))
    assert again == result.selection


def test_older_checkpoints_and_receipts_are_read(run):
    result = run.run(best_of_n(kit.chat(fresh()), n=2), ASK)
    since = ("from_cache", "unplaced")
    packed = [{k: v for k, v in call.items() if k not in since} for call in pack_calls(result.trajectories[0])]
    assert [(call.from_cache, call.unplaced) for call in unpack_calls(packed).calls] == [(False, 0)]
    plain = result.selection.to_dict()
    assert "cached_answer_tokens" not in plain["usage"]
    for candidate in plain["candidates"]:
        del candidate["cached_calls"]
    assert Selection.from_dict(plain) == result.selection


def test_the_page_says_it_in_words():
    from ec_agent.visual.views import view_of

    said = bill(view_of(best_of_n(kit.chat(cached()), n=2).run(ASK).selection))
    assert "40 of answers from an LLM cache, which cost nothing" in said


def test_the_cache_is_named_only_for_all_answers(run):
    def note(agent):
        return next(n for n in run.run(best_of_n(agent, n=2), ASK).selection.warnings if "repeat" in n)

    same = ScriptedChatModel([[Reply("same", entropies=kit.peak(3))]])
    assert "an LLM cache answered" in note(kit.chat(cached()))
    assert "cache" not in note(mixed(cached(), same))
