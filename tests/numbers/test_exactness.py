"""Every fast path equals the definition bit for bit: no mismatch on 100,000 timelines and settings, and 20,000 answers.

The definition is the plain restatement in ``benchmarks/baseline.py``, which shares no code with ``ec_agent``.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import strategies as own
from short_form import part_of

from benchmarks import baseline
from ec_agent.capture.shapes import tokens_of
from ec_agent.capture.shapes.response_bytes import read_json
from ec_agent.cli.sweep import run_sweep
from ec_agent.evaluator import trajectory_of
from ec_agent.numbers import many_timelines
from ec_agent.numbers.entropy import token_entropy
from ec_agent.numbers.many_timelines import SWEEP, score_many
from ec_agent.numbers.online import OnlineTrajectory
from ec_agent.numbers.percentiles import LONG, percentiles
from ec_agent.numbers.phases import HEPConfig, entropy_centroid, high_entropy_phases
from ec_agent.numbers.trajectory import Call

TIMELINES, SETTINGS = part_of(4_000), 27


def bits(numbers):
    return np.array(numbers, np.float64).tobytes()  # None becomes NaN


@pytest.fixture(scope="module")
def drawn():
    """Timelines that are likely to hurt, settings, and for each pair the thresholds, phases and centroid.

    The same for the settings of the sweep, which are last.
    """
    rng = np.random.default_rng(20260707)
    timelines = [own.draw_timeline(rng, 24) for _ in range(TIMELINES)]
    configs = [own.draw_config(rng) for _ in range(SETTINGS)]
    both = [defined(timeline, [*configs, *SWEEP]) for timeline in timelines]
    return timelines, configs, [row[:SETTINGS] for row in both], [row[SETTINGS:] for row in both]


def defined(timeline, configs):
    plain = own.plain(timeline)
    known = [entropy for entropy in plain if entropy is not None]
    if not known:
        return [(None, [], None)] * len(configs)
    percents = [[100 - config.top_percent for config in configs], [config.bottom_percent for config in configs]]
    rows = []
    for high, low, config in zip(*np.percentile(known, percents).tolist(), configs, strict=True):
        found = baseline.phases_between(plain, high, low, config.consecutive_low)
        rows.append(((high, low), found, baseline.centroid(found, len(plain))))
    return rows


def centroids_of(expected):
    return bits([[centroid for _, _, centroid in row] for row in expected])


def test_thresholds_of_the_restatement_are_the_definition_s(drawn):
    timelines, configs, expected, _ = drawn
    for timeline, row in list(zip(timelines, expected, strict=True))[::200]:
        for config, (_, found, _) in zip(configs, row, strict=True):
            values = config.top_percent, config.bottom_percent, config.consecutive_low
            assert found == baseline.phases(own.plain(timeline), *values)


def test_entropies_to_phases_and_centroid(drawn):
    timelines, configs, expected, _ = drawn
    wrong = 0
    for number, (timeline, row) in enumerate(zip(timelines, expected, strict=True)):
        for config, (_, found, centroid) in zip(configs, row, strict=True):
            starts, durations = high_entropy_phases(timeline, config)
            wrong += list(zip(starts.tolist(), durations.tolist(), strict=True)) != found
            if config is configs[number % SETTINGS]:
                wrong += entropy_centroid(timeline, config) != centroid
    assert (wrong, TIMELINES * SETTINGS) == (0, part_of(108_000))


def test_many(drawn):
    timelines, configs, expected, _ = drawn
    assert score_many(timelines, configs).tobytes() == centroids_of(expected)


@pytest.mark.parametrize(("size", "step"), [(1, 100), (300, 20)])
def test_many_in_small_batches(drawn, size, step, monkeypatch):
    timelines, configs, expected, _ = drawn
    few = timelines[::step]
    monkeypatch.setattr(many_timelines, "BATCH", size)
    assert score_many(few, configs).tobytes() == centroids_of(expected[::step])
    flat, lengths = np.concatenate(few), [len(timeline) for timeline in few]
    assert score_many(flat, configs, lengths=lengths).tobytes() == centroids_of(expected[::step])


def test_sweep(drawn, tmp_path, capsys):
    timelines, _, _, swept = drawn
    np.savez(tmp_path / "runs.npz", entropies=np.concatenate(timelines), lengths=[len(each) for each in timelines])
    run_sweep(tmp_path / "runs.npz", None, fresh=False, as_json=True)
    assert len(capsys.readouterr().out.splitlines()) == len(SWEEP)
    assert np.load(tmp_path / "runs.sweep.npy").tobytes() == centroids_of(swept)


def test_online(drawn):
    timelines, configs, expected, _ = drawn
    wrong = 0
    for number, (timeline, row) in enumerate(zip(timelines, expected, strict=True)):
        cut = number % (len(timeline) + 1)
        pieces = timeline[:cut], timeline[cut:]
        for column, (config, (thresholds, _, centroid)) in enumerate(zip(configs, row, strict=True)):
            fixed = OnlineTrajectory(config, thresholds=thresholds or (1, 0))
            for piece in pieces if (column + number) % 2 else [timeline]:
                fixed.append(piece)
            wrong += fixed.centroid() != centroid
        exact = OnlineTrajectory(configs[number % SETTINGS])
        for piece in pieces:
            exact.append(piece)
            wrong += exact.centroid() != entropy_centroid(exact.entropies, exact.config)
        wrong += exact.centroid() != row[number % SETTINGS][2]
    assert wrong == 0


# Long timelines, whose percentiles are looked for by a sample


def long_values(rng):
    for length, sample in ((499, 1), (500, 128), (2_000, 128), (LONG - 1, 128), (LONG, 1024), (3 * LONG, 1024)):
        smooth = rng.standard_exponential(length)
        period = np.where(np.arange(length) % (length // sample) == 0, 5.0, smooth)  # the sample sees the fives only
        yield from (smooth, np.sort(smooth), np.sort(smooth)[::-1].copy(), period, np.round(smooth, 1))
        yield from (np.zeros(length), rng.integers(0, 2, length).astype(float), np.where(smooth < 3, 0.0, smooth))


def test_percentiles_of_long_timelines_equal_numpys():
    rng = np.random.default_rng(20260708)
    for values in long_values(rng):
        percents = [0, 1, 50, 80, 99, 99.99, 100, *rng.random(3) * 100]
        before = values.tobytes()
        assert bits(percentiles(values, percents)) == np.percentile(values, percents).tobytes()
        assert values.tobytes() == before


def test_long_timelines():
    rng = np.random.default_rng(20260709)
    for values in long_values(rng):
        found = baseline.phases(values.tolist(), 1, 80, 2)
        assert entropy_centroid(values) == baseline.centroid(found, len(values))
        assert score_many([values], [HEPConfig()])[0, 0] == baseline.centroid(found, len(values))


# Answers


TOKENS, TOGETHER, ROUNDS = 4, 100, part_of(200)


def answers(rng):
    """Logprobs of shape (answers, T, k): entropies that tie, nearly tie, or would in another order of the sums."""
    k = int(rng.integers(3, 7))
    # Not so wide that one candidate is all there is of a token: an answer's reader then says that nothing is known.
    spread = rng.choice([0.5, 2.0, 4.0], (TOGETHER, 1))
    row = -np.sort(rng.standard_exponential((TOGETHER, k)) * spread + 1e-4, axis=1)
    rows = np.repeat(row[:, np.newaxis], TOKENS, axis=1)
    kinds = rng.integers(0, 5, (TOGETHER, TOKENS))
    rows[kinds == 1] -= 0.001  # the same distribution once renormalised, but for the last bits
    rows[kinds == 2] = np.nextafter(rows[kinds == 2], -np.inf)
    rows[kinds == 3, -1] = -9999.0
    rows[kinds == 4, 0] = -1e-5
    if rng.random() < 0.5:
        rows[rows == -9999.0] = -700.0
        return -np.sort(-rows, axis=2)  # as providers order them
    mixed = rng.random(TOGETHER) < 0.3
    rows[mixed] = rng.permuted(rows[mixed], axis=2)
    return rows


def content_of(rows):
    return [
        {
            "token": "x",
            "logprob": row[0],
            "top_logprobs": [{"token": str(i), "logprob": lp} for i, lp in enumerate(row)],
        }
        for row in rows.tolist()
    ]


def centroids_of_answers(entropies):
    # NumPy's own percentiles, of all answers at once.
    pairs = np.percentile(np.array(entropies, np.float64).reshape(-1, TOKENS), [80, 50], axis=1).T.tolist()
    answers = [entropies[i : i + TOKENS] for i in range(0, len(entropies), TOKENS)]
    return [
        baseline.centroid(baseline.phases_between(answer, high, low, 1), TOKENS)
        for answer, (high, low) in zip(answers, pairs, strict=True)
    ]


def test_answers():
    """20,000 answers (in the short form 5,000), a hundred of them in one body; each is a timeline of its own."""
    rng = np.random.default_rng(20260710)
    config = HEPConfig(20, 50, 1)
    wrong = typed = 0
    for number in range(ROUNDS):
        drawn = answers(rng)
        matrix = drawn.reshape(-1, drawn.shape[2])
        content = content_of(matrix)
        entropies = baseline.entropies_of_entries(content)
        centroids = centroids_of_answers(entropies)
        body = json.dumps({"model": "m", "choices": [{"index": 0, "logprobs": {"content": content}}]}).encode()
        typed += number < 20 and isinstance(read_json(body, ["entropy"]), Call)
        ways = [
            token_entropy(matrix),
            token_entropy(tokens_of(content).top),
            trajectory_of(body).entropies,
        ]
        wrong += sum(way.tobytes() != bits(entropies) for way in ways)
        wrong += [entropy_centroid(each, config) for each in ways[0].reshape(-1, TOKENS)] != centroids
        wrong += score_many(ways[0].reshape(-1, TOKENS), [config]).tobytes() != bits(centroids)
    assert (wrong, TOGETHER * ROUNDS) == (0, part_of(20_000))
    assert 0 < typed < 20  # both ways of reading bytes were taken
