"""Not scored is not zero: what happens where logprobs are missing."""

from __future__ import annotations

import json

import kit
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langgraph.graph import MessagesState

from ec_agent import (
    CallFilter,
    MissingLogprobsError,
    NoScoredRolloutError,
    best_of_n,
)
from ec_agent.selectors import MajorityVote, Ranking
from ec_agent.testing import Reply, ScriptedChatModel


def model(*replies, name="tiny-1"):
    return ScriptedChatModel([[reply] for reply in replies], model_name=name)


def says(text, *, covered=20, tokens=20, at=3):
    """A reply of ``tokens`` tokens of which the first ``covered`` have an entropy."""
    entropies = kit.peak(at)[:covered] if covered else None
    return Reply(text, entropies=entropies, tokens=tokens)


def of(*replies, **options):
    return best_of_n(kit.chat(model(*replies)), n=len(replies), **options)


def test_no_logprobs_at_all_names_the_model_and_what_to_set(run):
    node = of(says("a", covered=0), says("b", covered=0))
    with pytest.raises(NoScoredRolloutError) as caught:
        run.invoke(kit.outer(node), {"messages": "go"})
    text = str(caught.value)
    for part in ("'tiny-1'", "returned no logprobs", "logprobs=True, top_logprobs=20", 'on_unscored="first"'):
        assert part in text


@pytest.mark.parametrize(("on_missing", "error"), [("exclude", NoScoredRolloutError), ("raise", MissingLogprobsError)])
def test_a_cache_without_logprobs_is_named(run, on_missing, error):
    """Asking for them would help nothing: nobody is asked."""
    blind = ScriptedChatModel([[says("a", covered=0)]], cache=InMemoryCache(), model_name="tiny-1")
    blind.invoke([HumanMessage("go", id="g")])
    node = best_of_n(kit.chat(blind), n=2, on_missing=on_missing)
    with pytest.raises(error) as caught:
        run.invoke(node, {"messages": [HumanMessage("go", id="g")]})
    text = str(caught.value)
    assert "an LLM cache answered for" in text
    assert "'tiny-1', without logprobs" in text
    assert "cache=False on the model" in text
    assert "logprobs=True" not in text


@pytest.mark.parametrize("replies", [{"covered": 0}, {"covered": 2}, {"tokens": None, "covered": 0}])
def test_the_error_names_a_selector_that_works(run, replies):
    """The advice is taken: the error's own words make the same agent choose."""
    told = [says(text, **replies) for text in ("a", "b", "b")]
    with pytest.raises(NoScoredRolloutError) as caught:
        run.invoke(of(*told), {"messages": [HumanMessage("go")]})
    assert "needs no logprobs: selector=MajorityVote()" in str(caught.value)
    chosen = of(*told, selector=MajorityVote()).run({"messages": [HumanMessage("go")]})
    assert chosen.selection.winner == 1


def test_a_vote_that_found_nothing_is_not_recommended(run):
    node = of(says("a"), says("b"), selector=MajorityVote(normalize=lambda action: None))
    with pytest.raises(NoScoredRolloutError) as caught:
        run.invoke(node, {"messages": [HumanMessage("go")]})
    assert "MajorityVote()" not in str(caught.value)


def test_the_error_loses_nothing(run):
    """Every rollout's writes are in it, all of them, in order."""

    class Lossless(kit.Items, MessagesState):
        pass

    blind = model(*(says(t, covered=0) for t in "ab"))

    def one(state):
        return {"messages": [blind.invoke("?")], "items": [kit.rollout_index()]}

    agent = kit.graph(Lossless, one=one, two=lambda s: {"items": ["two"], "plain": 1})
    with pytest.raises(NoScoredRolloutError) as caught:
        run.invoke(kit.outer(best_of_n(agent, n=2), Lossless), {"messages": "go"})
    error = caught.value
    assert [c.final_action.content for c in error.candidates] == ["a", "b"]
    assert [c.unscored for c in error.candidates] == ["coverage", "coverage"]
    for index, output in enumerate(error.outputs):
        assert [value for key, value in output if key == "items"] == [[index], ["two"]]
        assert [value for key, value in output if key == "plain"] == [1]
        assert [value[0].content for key, value in output if key == "messages"] == ["ab"[index]]


def test_the_outputs_of_failed_rollouts_are_none(run):
    node = of(says("a", covered=0), Reply(error=LookupError("lost")))
    with pytest.raises(NoScoredRolloutError) as caught:
        run.invoke(node, {"messages": "go"})
    assert [output is None for output in caught.value.outputs] == [False, True]


def test_on_unscored_first_takes_the_first_that_ended(run):
    node = of(Reply(error=LookupError("lost")), says("b", covered=0), says("c", covered=0), on_unscored="first")
    result = run.run(node, {"messages": "go"})
    assert kit.answers(result.output["messages"]) == ["b"]
    assert (result.selection.winner, result.selection.order, result.selection.margin) == (1, (), None)
    assert any("no rollout could be scored" in note for note in result.selection.warnings)
    assert [c.reason for c in result.selection.candidates] == ["failed", "coverage", "coverage"]


@pytest.mark.parametrize("on_unscored", ["raise", "first"])
def test_an_unscored_rollout_never_beats_a_scored_one(run, on_unscored):
    node = of(
        says("a", covered=0),
        says("b", covered=9, at=0),
        says("c", at=17),
        Reply(error=LookupError()),
        on_unscored=on_unscored,
    )
    result = run.run(node, {"messages": "go"})
    assert kit.answers(result.output["messages"]) == ["c"]
    assert [c.reason for c in result.selection.candidates] == ["coverage", "coverage", None, "failed"]
    assert [c.score is None for c in result.selection.candidates] == [True, True, False, True]
    assert [c.centroid is None for c in result.selection.candidates] == [True, True, False, True]


def test_n_1_unscored_follows_the_same_rule(run):
    with pytest.raises(NoScoredRolloutError):
        run.invoke(of(says("a", covered=0)), {"messages": "go"})
    done = run.invoke(of(says("a", covered=0), on_unscored="first"), {"messages": "go"})
    assert kit.answers(done["messages"]) == ["a"]


@pytest.mark.parametrize(
    ("covered", "min_coverage", "scored"),
    [(10, 0.5, True), (9, 0.5, False), (9, 0.45, True), (19, 1.0, True), (18, 1.0, False), (1, 0, True)],
)
def test_min_coverage(run, covered, min_coverage, scored):
    """One token short of the usage is the end token, no gap."""
    node = of(says("a", covered=covered, at=0), says("b", at=17), min_coverage=min_coverage)
    result = run.run(node, {"messages": "go"})
    first = result.selection.candidates[0]
    assert first.coverage == (1.0 if covered == 19 else covered / 20)
    assert (first.score is not None) is scored
    assert kit.answers(result.output["messages"]) == (["a"] if scored else ["b"])


def test_no_logprobs_is_unscored_even_at_min_coverage_0(run):
    result = run.run(of(says("a", covered=0), says("b"), min_coverage=0), {"messages": "go"})
    assert result.selection.candidates[0].reason == "coverage"


@pytest.mark.parametrize("logprobs", [{}, {"content": None}, {"content": []}, [], "odd", 3])
def test_odd_payloads_are_missing_logprobs(run, logprobs):
    node = of(Reply("a", logprobs=logprobs, tokens=20), says("b", at=17))
    result = run.run(node, {"messages": "go"})
    assert kit.answers(result.output["messages"]) == ["b"]
    assert result.selection.candidates[0].reason == "coverage"


def unknown(text):
    """A reply whose provider reports neither usage nor logprobs."""
    return Reply(text)


def twice(*pairs):
    """An agent of two calls, the first of which may be anything."""
    first, second = (model(*column) for column in zip(*pairs, strict=True))

    def one(state):
        first.invoke("?")
        return {"messages": [second.invoke("?")]}

    return kit.graph(MessagesState, one=one)


@pytest.mark.parametrize(("on_missing", "winner"), [("exclude", "b"), ("score", "a")])
def test_a_call_of_unknown_length(run, on_missing, winner):
    agent = twice((unknown("-"), says("a", at=0)), (says("-", at=17), says("b", at=17)))
    result = run.run(best_of_n(agent, n=2, on_missing=on_missing), {"messages": "go"})
    assert kit.answers(result.output["messages"]) == [winner]
    assert result.selection.candidates[0].coverage is None


def test_a_model_that_reports_nothing_is_named(run):
    node = of(unknown("a"), unknown("b"))
    with pytest.raises(NoScoredRolloutError, match=r"the model 'tiny-1' returned no logprobs") as caught:
        run.invoke(node, {"messages": "go"})
    assert [len(c.trajectory.calls) for c in caught.value.candidates] == [1, 1]


def test_on_missing_score_still_wants_min_coverage(run):
    node = of(says("a", covered=9, at=0), says("b", at=17), on_missing="score")
    assert kit.answers(run.invoke(node, {"messages": "go"})["messages"]) == ["b"]


def test_on_missing_raise_stops_at_the_first_such_call(run):
    later = []

    def one(state):
        index = kit.rollout_index()
        blind.invoke("?")
        later.append(index)
        return {"messages": [("ai", "x")]}

    blind = model(says("a"), says("b", covered=0))
    node = best_of_n(kit.graph(MessagesState, one=one), n=2, on_missing="raise")
    for use in (node, kit.outer(node)):
        with pytest.raises(MissingLogprobsError, match=r"'tiny-1' returned no logprobs.*top_logprobs=20"):
            run.invoke(use, {"messages": "go"})
    assert 1 not in later


def test_on_missing_raise_is_silent_where_none_is_missing(run):
    done = run.invoke(of(says("a"), says("b", at=9), on_missing="raise"), {"messages": "go"})
    assert kit.answers(done["messages"]) == ["a"]


def test_a_filter_that_excludes_everything_is_reported(run):
    node = of(says("a"), says("b"), calls=CallFilter(nodes=["nowhere"]))
    with pytest.raises(NoScoredRolloutError, match=r"no LLM call was seen.*calls="):
        run.invoke(node, {"messages": "go"})


def test_a_filter_by_node_leaves_the_simulated_user_out(run):
    user, agent = model(says("u", at=0), says("u", at=0)), model(says("a", at=15), says("b", at=9))
    graph = kit.graph(
        MessagesState,
        user=lambda s: {"messages": [("human", user.invoke("?").content)]},
        agent=lambda s: {"messages": [agent.invoke("?")]},
    )
    node = best_of_n(graph, n=2, calls=CallFilter(exclude_nodes=["user"]))
    result = run.run(node, {"messages": "go"})
    assert [c.calls for c in result.selection.candidates] == [1, 1]
    assert [c.centroid for c in result.selection.candidates] == [kit.centroid(15), kit.centroid(9)]


def test_without_uncertainty_there_is_no_score(run):
    """All entropies equal: a phase over the whole timeline. All gaps but one: still a phase."""
    flat = Reply("flat", entropies=[0.0] * 20)
    result = run.run(of(flat, says("b", at=9)), {"messages": "go"})
    first = result.selection.candidates[0]
    assert (first.phases == 0) == (first.centroid is None) == (first.reason == "no_phases")


def test_a_score_that_is_no_number_is_none_in_the_receipt(run):
    """A selector that divides by zero, say: a receipt is JSON, which has no NaN."""

    class Divides:
        name = "divides"
        signals = ()

        def select(self, candidates):
            return Ranking(order=(1,), scores={0: float("nan"), 1: 0.5, 2: None}, reasons={0: "none", 2: "none"})

    selection = run.run(of(says("a"), says("b"), says("c"), selector=Divides()), {"messages": "go"}).selection
    assert [candidate.score for candidate in selection.candidates] == [None, 0.5, None]
    assert selection.winner == 1
    json.dumps(selection.to_dict(), allow_nan=False)
