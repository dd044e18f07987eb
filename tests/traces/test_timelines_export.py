"""The table ``timelines`` of an export: a row a rollout, its signals as lists, in few bytes, in several files."""

from __future__ import annotations

import errno
import os
import stat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from stored_rollouts import SETTINGS, TASKS, rollout

from ec_agent import Call, ConfigError, TraceError, TraceStore, Trajectory, token_entropy
from ec_agent.bulk import score_lists
from ec_agent.cli.app import app
from ec_agent.numbers.signals import SIGNALS
from ec_agent.traces import timelines_parquet
from ec_agent.traces.parquet import NAMES, TABLES, export_parquet

TOKENS = 5_000


def as_a_model(seed, tokens=TOKENS):
    """A timeline as models make it: most tokens nearly certain, all signals kept."""
    rng = np.random.default_rng(seed)
    spread = np.where(rng.random(tokens) < 0.7, 12.0, 2.0)[:, np.newaxis]
    logprobs = -rng.standard_exponential((tokens, 20)).cumsum(axis=1) * spread / 6
    logprobs -= np.log(np.exp(logprobs).sum(axis=1, keepdims=True))
    others = {name: rng.standard_exponential(tokens) for name in SIGNALS if name != "entropy"}
    return Trajectory([Call(token_entropy(logprobs), signals=others)])


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    path = tmp_path_factory.mktemp("filled") / "run.db"
    with TraceStore(path, create=True) as store:
        store.begin({**SETTINGS, "n": 8}, TASKS)
        for number in range(8):
            store.add(rollout("a", number, as_a_model(number)))
        store.add(rollout("b", 0))
        store.add(rollout("b", 0, Trajectory([Call([0.1, None, 2.0]), Call([0.5])]), kind="greedy"))
        store.add(rollout("b", 1, Trajectory(), verdict=0.0, error="ValueError: x"))
    return path


def exported(path, folder, **more):
    with TraceStore(path) as store:
        counts = export_parquet(store, folder, **more)
        return counts, list(store.rollouts())


def files_in(folder):
    return sorted(path.name for path in (folder / "timelines").iterdir())


def test_a_row_is_a_rollout_and_its_list_is_its_timeline(filled, tmp_path):
    counts, rollouts = exported(filled, tmp_path)
    assert list(counts) == list(NAMES) == [*TABLES, "timelines"]
    table = pq.read_table(tmp_path / "timelines")
    assert counts["timelines"] == table.num_rows == len(rollouts) == 11
    for row, stored in zip(table.to_pylist(), rollouts, strict=True):
        timeline = stored.trajectory
        assert (row["rollout"], row["task"], row["kind"], row["number"]) == (
            *(stored.id, stored.key.task, stored.key.kind, stored.key.number),
        )
        assert (row["tokens"], row["coverage"], row["verdict"]) == (len(timeline), timeline.coverage, stored.verdict)
        assert row["selection"] is None
        values = np.array([np.nan if each is None else each for each in row["entropy"]])
        np.testing.assert_array_equal(values, timeline.entropies)
    scores = score_lists(table["entropy"])["centroid_1_80_2"].to_pylist()
    assert scores == [each.trajectory.centroid() for each in rollouts]
    assert [each.error for each, score in zip(rollouts, scores, strict=True) if score is None] == ["ValueError: x"]


def test_a_token_takes_at_most_4_bytes_on_disk(filled, tmp_path):
    exported(filled, tmp_path, tables=["timelines", "rollouts"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rollouts.parquet", "timelines"]
    (part,) = (tmp_path / "timelines").iterdir()
    assert part.stat().st_size <= 4.0 * 8 * TOKENS
    column = pq.read_metadata(part).row_group(0).column(8)
    assert (column.path_in_schema, column.physical_type, column.compression) == (
        "entropy.list.element",
        "FLOAT",
        "ZSTD",
    )
    assert not {"PLAIN_DICTIONARY", "RLE_DICTIONARY"} & set(column.encodings)


def test_signals_that_are_asked_for(filled, tmp_path):
    _, rollouts = exported(filled, tmp_path, tables=["timelines"], signals=["surprisal", "entropy"])
    table = pq.read_table(tmp_path / "timelines")
    assert table.column_names[-2:] == ["surprisal", "entropy"]
    for given, stored in zip(table["surprisal"].to_pylist(), rollouts, strict=True):
        if all("surprisal" in call.signals for call in stored.trajectory.calls):
            values = [np.nan if each is None else each for each in given]
            np.testing.assert_array_equal(np.array(values, float), stored.trajectory.signal("surprisal"))
        else:
            assert given is None
    assert table["surprisal"].null_count == 2
    (part,) = (tmp_path / "timelines").iterdir()
    assert part.stat().st_size <= 2 * 4.0 * 8 * TOKENS


@pytest.mark.parametrize(("group", "file", "files"), [(1 << 20, 1 << 26, 1), (1, 1, 11), (TOKENS, 2 * TOKENS, 5)])
def test_several_files_are_one_table(filled, tmp_path, monkeypatch, group, file, files):
    monkeypatch.setattr(timelines_parquet, "GROUP", group)
    monkeypatch.setattr(timelines_parquet, "FILE", file)
    exported(filled, tmp_path / "many", tables=["timelines"])
    monkeypatch.undo()
    exported(filled, tmp_path / "one", tables=["timelines"])
    assert files_in(tmp_path / "many") == [f"part-{number:05}.parquet" for number in range(files)]
    assert pq.read_table(tmp_path / "many" / "timelines").equals(pq.read_table(tmp_path / "one" / "timelines"))
    for path in (tmp_path / "many" / "timelines").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_store_has_an_empty_table(tmp_path):
    TraceStore(tmp_path / "empty.db", create=True).close()
    counts, _ = exported(tmp_path / "empty.db", tmp_path / "out")
    assert counts == dict.fromkeys(NAMES, 0)
    assert pq.read_table(tmp_path / "out" / "timelines").schema.field("entropy").type == pa.list_(pa.float32())


@pytest.mark.parametrize("fails", range(1, 12, 5))
def test_a_full_disk_leaves_no_file(filled, tmp_path, monkeypatch, fails):
    monkeypatch.setattr(timelines_parquet, "GROUP", 1)
    monkeypatch.setattr(timelines_parquet, "FILE", 1)
    write, written = pq.ParquetWriter.write_table, []

    def full(self, table, **more):
        written.append(table)
        if len(written) == fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, table, **more)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(TraceError, match="No space left"):
        exported(filled, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_folder_is_not_written_over(filled, tmp_path):
    exported(filled, tmp_path, tables=["timelines"])
    with pytest.raises(TraceError, match="has timelines already; give another folder"):
        exported(filled, tmp_path)
    assert exported(filled, tmp_path, tables=["calls"])[0] == {"calls": 13}


@pytest.mark.parametrize(
    ("more", "words"),
    [({"tables": ["x"]}, "tables is 'x'; give one of"), ({"signals": ["x"]}, "unknown signal 'x'")],
    ids=["tables", "signals"],
)
def test_names_of_nothing_are_refused(filled, tmp_path, more, words):
    with pytest.raises(ConfigError, match=words):
        exported(filled, tmp_path / "out", **more)
    assert not (tmp_path / "out" / "timelines").exists()


def test_the_command_and_the_sweep_of_what_it_writes(filled, tmp_path):
    tables = tmp_path / "tables"
    words = ["traces", "export", filled, "--parquet", tables, "--table", "timelines", "--signal", "entropy"]
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exception is None, done.exception
    assert done.stdout == f"{tables / 'timelines'}/  11 rows\n"
    done = CliRunner().invoke(app, ["score", "--sweep", str(tables / "timelines")])
    assert done.exception is None, done.exception
    scores = pq.read_table(tables / "timelines.sweep")
    with TraceStore(filled) as store:
        own = {each.id: each.trajectory.centroid() for each in store.rollouts()}
    assert dict(zip(scores["rollout"].to_pylist(), scores["centroid_1_80_2"].to_pylist(), strict=True)) == own
    assert scores["coverage"].equals(pq.read_table(tables / "timelines")["coverage"])


@pytest.mark.parametrize("names", [["logprob", "surprisal", "logprob"], ["entropy"] * 3, list(SIGNALS) * 2])
def test_a_signal_named_twice_is_one_column(filled, tmp_path, names):
    with TraceStore(filled) as store:
        export_parquet(store, tmp_path / "api", tables=["timelines"], signals=names)
    words = [word for name in names for word in ("--signal", name)]
    done = CliRunner().invoke(app, ["traces", "export", str(filled), "--parquet", str(tmp_path / "cli"), *words])
    assert done.exception is None, done.output
    for folder in ("api", "cli"):
        columns = pq.read_table(tmp_path / folder / "timelines").column_names
        assert [name for name in columns if name in SIGNALS] == list(dict.fromkeys(names))


def test_signals_without_the_table_that_has_them_are_refused(filled, tmp_path):
    words = ["traces", "export", str(filled), "--parquet", str(tmp_path / "x"), "--signal", "logprob"]
    done = CliRunner().invoke(app, [*words, "--table", "rollouts", "--table", "calls"])
    assert done.exit_code == 2
    assert "--signal is about the lists of timelines" in done.stderr
    assert not (tmp_path / "x").exists()
