"""The receipt: who ran, who won, and why, as plain JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import kit
import numpy as np
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from ec_agent import (
    ConfigError,
    HEPConfig,
    IdenticalRolloutsWarning,
    Limits,
    Ranking,
    Selection,
    StateMismatchError,
    best_of_n,
)
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)  # rollout 1 wins


class Receipt(MessagesState, total=False):
    receipt: dict[str, Any]


def test_it_is_json_and_reads_back_equal(run):
    model = ScriptedChatModel(
        [
            [Reply("a", entropies=kit.peak(15))],
            [Reply(error=LookupError("lost"))],
            [Reply("c", entropies=kit.peak(3)[:10], tokens=11)],
            [Reply("d", entropies=[1.0], tokens=30)],
        ]
    )
    node = best_of_n(kit.chat(model), n=4, sampling=lambda i: {"seed": i})
    selection = run.run(node, {"messages": "go"}).selection
    plain = selection.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert Selection.from_dict(json.loads(json.dumps(plain))) == selection
    assert [c.reason for c in selection.candidates] == [None, "failed", None, "coverage"]


def test_its_numbers(run):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, config=HEPConfig(5, 50, 2))
    selection = run.run(node, {"messages": "go"}).selection
    assert (selection.winner, selection.order, selection.selector) == (1, (1, 2, 0), "lowest_centroid")
    assert selection.config == HEPConfig(5, 50, 2)
    assert selection.distinct == 3
    assert selection.margin == selection.candidates[2].score - selection.candidates[1].score
    for at, candidate in zip(PEAKS, selection.candidates, strict=True):
        assert (candidate.centroid, candidate.score) == (kit.centroid(at),) * 2
        assert (candidate.tokens, candidate.scored_tokens, candidate.calls) == (20, 20, 1)
        assert (candidate.phases, candidate.coverage, candidate.error) == (1, 1.0, None)
        assert candidate.seconds > 0


def test_selection_key_receives_it(run):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, selection_key="receipt")
    done = run.invoke(kit.outer(node, Receipt, checkpointer=InMemorySaver()), {"messages": "go"}, THREAD)
    assert Selection.from_dict(done["receipt"]).winner == 1
    assert json.dumps(done["receipt"])


THREAD = {"configurable": {"thread_id": "t"}}


def test_an_unknown_selection_key_is_refused(run):
    ran = []
    agent = kit.graph(MessagesState, one=lambda s: ran.append(1))
    graph = kit.outer(best_of_n(agent, n=2, selection_key="receipt"))
    with pytest.raises(StateMismatchError, match=r"selection_key='receipt'.*add the key"):
        run.invoke(graph, {"messages": "go"})
    assert not ran


def test_alone_the_selection_key_is_set_too(run):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, selection_key="receipt")
    assert set(run.invoke(node, {"messages": "go"})) == {"messages"}
    model = kit.say(*PEAKS)
    agent = kit.graph(Receipt, one=lambda s: {"messages": [model.invoke("?")]})
    done = run.invoke(best_of_n(agent, n=3, selection_key="receipt"), {"messages": "go"})
    assert done["receipt"]["winner"] == 1


@pytest.mark.parametrize(
    ("peaks", "winner", "margin"), [((5, 5, 5), 0, 0.0), ((9, 5, 5), 1, 0.0), ((9, 5, 2), 2, 3 / 20)]
)
def test_ties_go_to_the_lowest_index(run, peaks, winner, margin):
    model = ScriptedChatModel(
        [[Reply(f"answer {i}", entropies=kit.peak(at), delay=0.03 * (3 - i))] for i, at in enumerate(peaks)]
    )
    selection = run.run(best_of_n(kit.chat(model), n=3), {"messages": "go"}).selection
    assert (selection.winner, selection.margin) == (winner, pytest.approx(margin))
    assert selection.order[0] == winner
    assert [c.index for c in selection.candidates] == [0, 1, 2]


def test_usage_counts_all_rollouts_and_all_calls():
    model = ScriptedChatModel([[Reply(f"answer {i}", entropies=kit.peak(at))] for i, at in enumerate(PEAKS)])

    class Metered(ScriptedChatModel):
        def _generate(self, *args, **kwargs):
            result = super()._generate(*args, **kwargs)
            result.generations[0].message.usage_metadata = {
                "input_tokens": 100,
                "output_tokens": 20,
                "total_tokens": 120,
                "input_token_details": {"cache_read": 60},
            }
            return result

    judge = Metered(model.script)

    def one(state):
        judge.invoke("is it good?", {"tags": ["judge"]})
        return {"messages": [judge.invoke(state["messages"])]}

    node = best_of_n(kit.graph(MessagesState, one=one), n=3, calls=lambda call: "judge" not in call.tags)
    selection = node.run({"messages": "go"}).selection
    assert [c.calls for c in selection.candidates] == [1, 1, 1]
    assert selection.usage == {"prompt_tokens": 600, "cached_tokens": 360, "generated_tokens": 120}


def test_n_1_has_no_runner_up(run):
    selection = run.run(best_of_n(kit.chat(kit.say(3)), n=1), {"messages": "go"}).selection
    assert (selection.winner, selection.margin, selection.distinct) == (0, None, 1)


def test_equal_rollouts_are_reported(run):
    model = ScriptedChatModel([[Reply("a", entropies=kit.peak(3))], [Reply("b", entropies=kit.peak(5))]])
    selection = run.run(best_of_n(kit.chat(model), n=4), {"messages": "go"}).selection
    assert [c.same_as for c in selection.candidates] == [None, None, 0, 1]
    assert selection.distinct == 2
    assert any("2 of 4 rollouts repeat an earlier one" in note for note in selection.warnings)


class Tuned(ScriptedChatModel):
    """A model whose parameters show in its runs."""

    settings: dict[str, Any]

    @property
    def _identifying_params(self):
        return {"model": self.model_name, **self.settings}


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"temperature": 0}, "the temperature is 0"),
        ({"temperature": 0.0, "seed": 1}, "the temperature is 0"),
        ({"temperature": 0.8, "seed": 7}, "the same seed"),
        ({}, "a higher temperature"),
    ],
)
def test_identical_rollouts_warn_with_the_likely_cause(run, settings, cause):
    model = Tuned([[Reply("a", entropies=kit.peak(3))]], settings=settings)
    with pytest.warns(IdenticalRolloutsWarning, match=cause):
        selection = run.run(best_of_n(kit.chat(model), n=3), {"messages": "go"}).selection
    assert selection.distinct == 1
    assert any(cause in note for note in selection.warnings)


def test_an_llm_cache_is_named_as_the_cause(run):
    model = ScriptedChatModel([[Reply("a", entropies=kit.peak(3))]], cache=InMemoryCache())
    with pytest.warns(IdenticalRolloutsWarning, match=r"LLM cache.*cache=False"):
        selection = run.run(
            best_of_n(kit.chat(model), n=3, limits=Limits(max_concurrency=1)), {"messages": "go"}
        ).selection
    assert selection.distinct == 1


def test_other_tool_calls_make_another_rollout(run):
    model = ScriptedChatModel([[Reply(tool_calls=[("send", {"to": f"{i}"})], entropies=kit.peak(3))] for i in range(3)])
    assert run.run(best_of_n(kit.chat(model), n=3), {"messages": "go"}).selection.distinct == 3


def test_sampling_that_could_not_be_applied_is_on_record(run):
    """A scripted model makes no request that could carry parameters."""
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, sampling=lambda i: {"seed": i, "temperature": 0.8})
    candidates = run.run(node, {"messages": "go"}).selection.candidates
    assert [c.sampling for c in candidates] == [{"seed": i, "temperature": 0.8} for i in range(3)]
    assert [c.unsampled_calls for c in candidates] == [1, 1, 1]


@dataclass
class WithN:
    n: int | None = 2


@pytest.mark.parametrize(("context", "n"), [({"n": 2}, 2), (WithN(2), 2), (WithN(None), 3), ({"m": 1}, 3), (None, 3)])
def test_n_from_the_runs_context(run, context, n):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, selection_key="receipt")
    builder = StateGraph(Receipt, context_schema=type(context) if isinstance(context, WithN) else None)
    builder.add_node("solve", node)
    builder.add_edge(START, "solve")
    done = run.invoke(builder.compile(), {"messages": "go"}, context=context)
    assert len(done["receipt"]["candidates"]) == n


@pytest.mark.parametrize("n", [0, -1, True, 1.5, "4", [2]])
def test_a_bad_n_in_the_context_is_a_config_error(run, n):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3)
    for use in (kit.outer(node), node):
        with pytest.raises(ConfigError, match="context's n"):
            run.invoke(use, {"messages": "go"}, context={"n": n})


class Numbers:
    """A selector of somebody who computes with NumPy."""

    name = "numbers"
    signals = ("entropy",)

    def select(self, candidates):
        scores = np.array([c.trajectory.centroid() for c in candidates])
        order = np.argsort(scores)
        return Ranking(
            order=tuple(order), scores={c.index: s for c, s in zip(candidates, scores, strict=True)}, reasons={}
        )


def test_a_selectors_numpy_numbers_become_plain(run):
    node = best_of_n(kit.chat(kit.say(*PEAKS)), n=3, selector=Numbers(), selection_key="receipt")
    graph = kit.outer(node, Receipt, checkpointer=InMemorySaver())
    done = run.invoke(graph, {"messages": "go"}, THREAD)
    assert json.loads(json.dumps(done["receipt"])) == done["receipt"]
    assert {type(i) for i in done["receipt"]["order"]} == {int}
    assert {type(c["score"]) for c in done["receipt"]["candidates"]} == {float}


class Odd(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    lock: Any
    by: dict[Any, Any] = {}


@pytest.mark.parametrize(
    "value",
    [{1: "a", "b": 2, (1, 2): 3}, {"x", 3}, b"bytes", Odd(lock=object(), by={(1, 2): 3, "a": 1}), float("nan")],
    ids=lambda v: type(v).__name__,
)
def test_any_writes_can_be_compared(run, value):
    """Finding identical rollouts must not fail one."""
    node = best_of_n(kit.spoken(lambda i: {"plain": value, "items": [{"messages": [value]}]}), n=2)
    with pytest.warns(IdenticalRolloutsWarning):
        selection = run.run(node, {}).selection
    assert [c.same_as for c in selection.candidates] == [None, 0]


@dataclass
class Tenant:
    user: str


def test_n_in_a_context_does_not_reach_the_agent(run):
    agent = StateGraph(MessagesState, context_schema=Tenant)
    agent.add_node(
        "model", lambda s, runtime: {"messages": [kit.say(1, 2).invoke(s["messages"]), AIMessage(runtime.context.user)]}
    )
    agent.add_edge(START, "model")
    outer = kit.outer(best_of_n(agent.compile(), n=5, selection_key="receipt"), Receipt)
    done = run.invoke(outer, {"messages": "go"}, context={"n": 2, "user": "ann"})
    assert len(done["receipt"]["candidates"]) == 2
    assert done["messages"][-1].content == "ann"
