from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from ec_agent.cli.app import app
from ec_agent.cli.sweep import run_sweep
from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.numbers.entropy_files import EntropyFile
from ec_agent.numbers.many_timelines import SWEEP, score_many
from ec_agent.numbers.phases import HEPConfig, entropy_centroid

pytestmark = pytest.mark.filterwarnings("error")

RNG = np.random.default_rng(5)
TIMELINES = [RNG.standard_exponential(length) for length in (0, 1, 40, 300, 2, 0, 77)]
LENGTHS = [len(timeline) for timeline in TIMELINES]


def test_shapes_and_values():
    scores = score_many(TIMELINES)
    assert scores.shape == (7, 27)
    assert np.isnan(scores[[0, 5]]).all()
    assert scores[3].tolist() == [entropy_centroid(TIMELINES[3], config) for config in SWEEP]


def test_none_is_a_gap_and_matrix_rows_are_timelines():
    assert score_many([[None, 0.1, 2.0]], [HEPConfig()])[0, 0] == entropy_centroid([None, 0.1, 2.0])
    matrix = RNG.random((3, 50))
    assert score_many(matrix, [HEPConfig()]).ravel().tolist() == [entropy_centroid(row) for row in matrix]
    assert score_many([], [HEPConfig()]).shape == (0, 1)
    assert score_many([[], [None]], [HEPConfig()]).shape == (2, 1)


@pytest.mark.parametrize("configs", [[], [None], [(1, 80, 2)]])
def test_settings_are_settings(configs):
    with pytest.raises(ConfigError, match="HEPConfig"):
        score_many(TIMELINES, configs)


@pytest.mark.parametrize("lengths", [[1], [-1, 421], [420.0], [[420]], [[]], ["420"]])
def test_lengths_add_up(lengths):
    with pytest.raises(LogprobsError, match="lengths"):
        score_many(np.concatenate(TIMELINES), lengths=lengths)


def test_a_wrong_timeline():
    with pytest.raises(LogprobsError, match="infinity"):
        score_many([[0.1], [np.inf]])


# Files


def saved(folder, **changed):
    arrays = {"entropies": np.concatenate(TIMELINES), "lengths": LENGTHS} | changed
    np.savez(folder / "runs.npz", **arrays)
    return folder / "runs.npz"


@pytest.mark.parametrize("kind", ["float64", "float32", ">f4"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_file_gives_back_what_was_written(tmp_path, kind, write, monkeypatch):
    monkeypatch.setattr("ec_agent.numbers.many_timelines.BATCH", 50)
    flat = np.concatenate(TIMELINES).astype(kind)
    write(tmp_path / "runs.npz", entropies=flat, lengths=LENGTHS)
    file = EntropyFile(tmp_path / "runs.npz")
    for first in range(len(LENGTHS) + 1):
        parts = list(file.parts(first))
        read = np.concatenate([np.empty(0), *(entropies for entropies, _ in parts)])
        assert read.tolist() == flat[sum(LENGTHS[:first]) :].astype(np.float64).tolist()
        assert [length for _, lengths in parts for length in lengths] == LENGTHS[first:]


@pytest.mark.parametrize(("shape", "lengths"), [((3, 4), [4, 4, 4]), ((5,), [5])])
def test_an_npy(tmp_path, shape, lengths):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    assert EntropyFile(tmp_path / "a.npy").lengths.tolist() == lengths


@pytest.mark.parametrize(
    "changed",
    [
        {"entropies": np.zeros(420, np.float16)},
        {"entropies": np.zeros(420, int)},
        {"entropies": np.zeros((420, 1))},
        {"entropies": np.array([{}])},
        {"lengths": [419]},
        {"lengths": np.array([None])},
    ],
)
def test_another_form_is_refused(tmp_path, changed):
    with pytest.raises(LogprobsError, match=r"runs\.npz|lengths"):
        EntropyFile(saved(tmp_path, **changed))


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY\x01\x00", b"text"])
@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_no_such_file_and_no_such_form(tmp_path, name, content):
    with pytest.raises(LogprobsError, match=r"numpy\.savez"):
        EntropyFile(tmp_path / name)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LogprobsError, match=r"numpy\.savez"):
        EntropyFile(tmp_path / name)


def test_a_file_cut_short(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    with pytest.raises(LogprobsError, match="ends too early"):
        list(EntropyFile(tmp_path / "a.npy").parts())


# The command


def sweep(*words):
    return CliRunner().invoke(app, ["score", "--sweep", *map(str, words)])


def test_the_command(tmp_path):
    file = saved(tmp_path)
    done = sweep(file, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    scores = np.load(tmp_path / "runs.sweep.npy")
    assert scores.tobytes() == score_many(TIMELINES).tobytes()
    assert [(row["top_percent"], row["bottom_percent"], row["consecutive_low"]) for row in rows] == [
        tuple(config.to_dict().values()) for config in SWEEP
    ]
    for row, column in zip(rows, scores.T, strict=True):
        assert row["scored"] == np.count_nonzero(~np.isnan(column))
        assert row["mean"] == pytest.approx(np.nanmean(column))
        assert (row["lowest"], row["lowest_rollout"]) == (np.nanmin(column), np.nanargmin(column))
    assert "centroids of 7 rollouts" in sweep(file).stdout


@pytest.mark.parametrize("cut", [0, 5, 100, 128, 128 + 216, 128 + 216 * 3 + 7, 10**6])
def test_a_stopped_sweep_goes_on(tmp_path, cut, monkeypatch):
    file, out = saved(tmp_path), tmp_path / "runs.sweep.npy"
    run_sweep(file, None, fresh=False, as_json=True)
    whole = out.read_bytes()
    out.write_bytes(whole[:cut])
    asked = []
    monkeypatch.setattr(
        "ec_agent.cli.sweep.score_many", lambda *a, **k: asked.append(len(k["lengths"])) or score_many(*a, **k)
    )
    run_sweep(file, None, fresh=False, as_json=True)
    assert out.read_bytes() == whole
    assert sum(asked) == 7 - min(max(cut - 128, 0) // 216, 7)


def test_other_results_are_not_overwritten(tmp_path):
    file = saved(tmp_path)
    run_sweep(file, None, fresh=False, as_json=True)
    saved(tmp_path, lengths=LENGTHS[::-1])
    with pytest.raises(ConfigError, match="--fresh"):
        run_sweep(file, None, fresh=False, as_json=True)
    run_sweep(file, None, fresh=True, as_json=True)
    (tmp_path / "mine.npy").write_bytes(b"mine")
    with pytest.raises(ConfigError, match="--out"):
        run_sweep(file, tmp_path / "mine.npy", fresh=False, as_json=True)
    with pytest.raises(ConfigError, match="to be read"):
        run_sweep(file, file, fresh=True, as_json=True)


def test_nothing_to_score(tmp_path):
    file = saved(tmp_path, entropies=np.full(420, np.nan))
    with pytest.raises(LogprobsError, match="no rollout"):
        run_sweep(file, None, fresh=False, as_json=False)
    with pytest.raises(LogprobsError, match="infinity"):
        run_sweep(saved(tmp_path, entropies=np.full(420, np.inf)), None, fresh=True, as_json=False)


@pytest.mark.parametrize("words", [["a.npz", "b.npz"], []])
def test_one_file(words):
    assert sweep(*words).exit_code == 2


def test_options_of_the_sweep_alone(tmp_path):
    assert CliRunner().invoke(app, ["score", "x.json", "--fresh"]).exit_code == 2
    assert isinstance(sweep("x.json").exception, LogprobsError)
