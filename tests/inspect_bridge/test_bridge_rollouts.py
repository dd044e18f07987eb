"""One rollout an epoch: run by Inspect, written to its log, read back, and selected among."""

from __future__ import annotations

import pytest
from bridge_kit import SAMPLES, agent, answer_of, entropies_of, graph_of, run, seed_of, slow_centroid, slow_pick
from inspect_ai import score
from inspect_ai.scorer import includes, match
from inspect_ai.util import registry_create

from ec_agent.errors import AgentError, ConfigError
from ec_agent.evaluation.inspect_ai import centroid, lowest_centroid, rollout_solver, selected_by, with_centroid
from ec_agent.testing import Reply

EPOCHS = 8


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    reducers = ["mean", lowest_centroid(), "ec_agent/fewest_calls", selected_by("majority_vote")]
    scorers = [with_centroid(match()), centroid()]
    return run(tmp_path_factory.mktemp("logs"), rollout_solver(agent), scorers, reducers=reducers, epochs=EPOCHS)


def slowly(sample):
    """The sample's centroids and verdicts by epoch."""
    seeds = [seed_of(sample, epoch) for epoch in range(1, EPOCHS + 1)]
    centroids = [slow_centroid(entropies_of(s, 0), entropies_of(s, 1)) if s % 5 else None for s in seeds]
    return centroids, [float(answer_of(seed) == "right") for seed in seeds]


def reduced(log, scorer, reducer):
    (found,) = [each for each in log.reductions if (each.scorer, each.reducer) == (scorer, reducer)]
    return {sample.sample_id: sample for sample in found.samples}


def as_number(value):
    return {"C": 1.0, "I": 0.0}.get(value, value)


def test_every_epoch_is_a_rollout_with_its_own_seed_and_centroid(log):
    assert log.status == "success"
    assert len(log.samples) == 3 * EPOCHS
    unscored = 0
    for sample in log.samples:
        seed = seed_of(sample.id, sample.epoch)
        kept = sample.store["ec_agent"]
        assert (kept["sampling"]["seed"], kept["answer"], kept["calls"]) == (seed, answer_of(seed), 2)
        wanted = slowly(sample.id)[0][sample.epoch - 1]
        assert kept["scores"]["lowest_centroid"] == wanted
        assert kept["reason"] == (None if seed % 5 else "coverage")
        assert sample.scores["match"].metadata["ec_agent"] == {**kept, "epoch": sample.epoch}
        shown = sample.scores["centroid"].value
        assert shown == wanted if seed % 5 else shown != shown
        unscored += wanted is None
    assert 0 < unscored < 3 * EPOCHS


def test_the_answer_is_where_scorers_and_the_viewer_look(log):
    for sample in log.samples:
        seed = seed_of(sample.id, sample.epoch)
        assert [message.role for message in sample.messages] == ["user", "assistant", "tool", "assistant"]
        (call,) = sample.messages[1].tool_calls
        assert (call.function, call.arguments) == ("look", {"q": seed % 7})
        assert sample.output.completion == sample.messages[-1].text == answer_of(seed)
        assert sample.output.usage.output_tokens == 2 * (20 + seed % 17)
        (info,) = [event for event in sample.events if event.event == "info"]
        assert (info.source, info.data) == ("ec_agent", sample.store["ec_agent"])


def test_the_reducer_picks_as_the_slow_restatement_does(log):
    picks = reduced(log, "match", "ec_agent/lowest_centroid")
    assert set(picks) == {"a", "b", "c"}
    for name, pick in picks.items():
        centroids, verdicts = slowly(name)
        assert as_number(pick.value) == slow_pick(centroids, verdicts)
        lowest = min(c for c in centroids if c is not None)
        told = pick.metadata["ec_agent:selection"]
        assert told["epochs"] == [e for e, c in enumerate(centroids, 1) if c == lowest]
        assert told["scored"] == sum(c is not None for c in centroids)
        assert reduced(log, "centroid", "ec_agent/lowest_centroid")[name].value == lowest
    (accuracy,) = [
        s.metrics["accuracy"].value
        for s in log.results.scores
        if (s.name, s.reducer) == ("match", "ec_agent/lowest_centroid")
    ]
    assert accuracy == pytest.approx(sum(slow_pick(*slowly(name)) for name in picks) / 3)


def test_ties_are_averaged_and_answers_are_counted(log):
    for name, pick in reduced(log, "match", "ec_agent/fewest_calls").items():
        verdicts = slowly(name)[1]
        assert as_number(pick.value) == sum(verdicts) / EPOCHS  # all made two calls
        assert pick.value == reduced(log, "match", "mean")[name].value
    for name, pick in reduced(log, "match", "ec_agent/majority_vote").items():
        right = sum(slowly(name)[1])
        assert as_number(pick.value) == (0.5 if right * 2 == EPOCHS else float(right * 2 > EPOCHS))


def test_a_log_can_be_scored_again(log):
    again = score(
        log, with_centroid(includes()), epochs_reducer=["ec_agent/lowest_centroid"], action="overwrite", display="none"
    )
    picks = reduced(again, "includes", "ec_agent/lowest_centroid")
    assert {name: as_number(pick.value) for name, pick in picks.items()} == {
        name: slow_pick(*slowly(name)) for name in ("a", "b", "c")
    }


def failing(messages, index):
    turn = sum(message.type == "ai" for message in messages)
    return Reply("right", entropies=[1.0, 0.1]) if turn else Reply(error=ValueError("model down"), tokens=3)


def test_a_failed_rollout_is_a_sample_error_that_keeps_its_numbers(tmp_path):
    log = run(
        tmp_path,
        rollout_solver(graph_of(failing)),
        with_centroid(match()),
        samples=SAMPLES[:1],
        fail_on_error=False,
        score_on_error=True,
    )
    (sample,) = log.samples
    assert sample.error.message.startswith("RolloutError('the rollout failed: ValueError")
    assert "model down" in sample.error.message
    assert "model down" in sample.store["ec_agent"]["error"]
    assert "model down" in sample.scores["match"].metadata["ec_agent"]["error"]


def test_by_its_name_and_the_agents_place():
    solver = registry_create("solver", "ec_agent/rollout_solver", agent="bridge_kit:agent", seed=3)
    assert callable(solver)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"agent": agent, "min_coverage": 2}, ConfigError, "share from 0 to 1"),
        ({"agent": agent, "seed": "x"}, ConfigError, "whole number"),
        ({"agent": agent, "n": 8}, ConfigError, "no setting 'n'; the settings are seed"),
        ({"agent": agent, "temperature": 0}, ConfigError, "above 0"),
        ({"agent": 3}, AgentError, "int"),
        ({"agent": "bridge_kit:nobody"}, ConfigError, "no nobody"),
        ({"agent": "nowhere:agent"}, ConfigError, "no module nowhere"),
    ],
    ids=["coverage", "seed", "n", "temperature", "agent", "name", "module"],
)
def test_wrong_arguments_are_refused_before_the_first_sample(given, error, message):
    with pytest.raises(error, match=message):
        rollout_solver(**given)
