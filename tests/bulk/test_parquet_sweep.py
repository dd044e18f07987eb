"""``ec-agent score --sweep`` of Parquet files: the library's own bits, whatever is named, and only what is missing."""

from __future__ import annotations

import json
import os
import stat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_files import drawn, folder_of, own, results, sweep, written

from ec_agent import ConfigError, LogprobsError, score_many
from ec_agent.bulk import parquet_lists, sweeping
from ec_agent.numbers.many_timelines import SWEEP


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "timelines"


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "two"])
def test_a_folder_gives_the_librarys_own_bits(folder, workers):
    rows = folder_of(folder)
    done = sweep(folder, *workers, "--json")
    assert done.exception is None, done.exception
    for number, (name, timelines) in enumerate(rows.items()):
        out = folder.with_name("timelines.sweep") / name
        assert results(out) == own(timelines)
        table = pq.read_table(out)
        assert table.column_names[:2] == ["rollout", "task"]
        assert table["rollout"].to_pylist() == [1000 * number + row for row in range(len(timelines))]
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert len(list(folder.with_name("timelines.sweep").iterdir())) == 3
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    scores = score_many([np.array(row, float) for each in rows.values() for row in each])
    for line, column in zip(lines, scores.T, strict=True):
        lowest = int(np.nanargmin(column))
        assert (line["scored"], line["lowest"]) == (np.count_nonzero(~np.isnan(column)), column[lowest])
        assert line["mean"] == pytest.approx(np.nanmean(column))
        assert (line["lowest_file"], line["lowest_row"]) == (f"part-{lowest // 12}.parquet", lowest % 12)
    assert "centroids of 36 rollouts" in sweep(folder).stdout


def test_however_a_file_is_divided(tmp_path, monkeypatch):
    rows = drawn(5, 40)
    monkeypatch.setattr(parquet_lists, "PART", 100)
    monkeypatch.setattr(parquet_lists, "_GROUP_ROWS", 7)
    for groups in (1, 3, 1000):
        written(tmp_path / "a.parquet", rows, row_group_size=groups)
        assert sweep(tmp_path / "a.parquet", "--out", tmp_path / "out", "--fresh").exception is None
        assert results(tmp_path / "out" / "a.parquet") == own(rows)


@pytest.mark.parametrize(
    ("named", "base"),
    [
        (["runs"], "runs"),
        (["runs/*/timelines/*.parquet"], "runs"),
        (["runs/**/part-0.parquet", "runs/1/timelines/part-1.parquet", "runs/1/timelines"], "runs"),
        (["runs/0/timelines/part-0.parquet"], "runs/0/timelines"),
        (["runs/[01]/timelines"], "runs"),
    ],
    ids=lambda named: " ".join(named) if isinstance(named, list) else None,
)
def test_folders_patterns_and_files(tmp_path, monkeypatch, named, base):
    monkeypatch.chdir(tmp_path)
    for run in "01":
        folder_of(tmp_path / "runs" / run / "timelines", files=2, rollouts=2)
    for left in ("runs/_temporary/x.parquet", "runs/0/.x.parquet", "runs/0/timelines/_SUCCESS"):
        (tmp_path / left).parent.mkdir(exist_ok=True)
        (tmp_path / left).write_bytes(b"no data")
    done = sweep(*named)
    assert done.exception is None, done.exception
    out = tmp_path / f"{base}.sweep"
    found = {path.relative_to(out).as_posix() for path in out.rglob("*.parquet")}
    assert found
    for name in found:
        assert pq.read_metadata(out / name).num_rows == 2
        assert (tmp_path / base / name).is_file()
    assert sweep(*named).exception is None  # results are no files to be read


def test_only_files_without_results_are_scored(folder, monkeypatch):
    rows = folder_of(folder)
    out = folder.with_name("timelines.sweep")
    assert sweep(folder).exception is None
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    (out / "part-1.parquet").unlink()
    rows["part-9.parquet"] = drawn(9)
    written(folder / "part-9.parquet", rows["part-9.parquet"])
    scored = []
    score_file = sweeping.score_file
    monkeypatch.setattr(
        sweeping, "score_file", lambda file, *more: (scored.append(file.path.name), score_file(file, *more))
    )
    assert sweep(folder).exception is None
    assert scored == ["part-1.parquet", "part-9.parquet"]
    assert {name: results(out / name) for name in rows} == {name: own(each) for name, each in rows.items()}
    assert all((out / name).stat().st_mtime_ns == before[name] for name in ("part-0.parquet", "part-2.parquet"))
    assert sweep(folder, "--fresh").exception is None
    assert len(scored) == 6


@pytest.mark.parametrize("change", ["the file", "the column", "the results", "the kind of lists"])
def test_other_results_are_not_overwritten(folder, change):
    folder_of(folder)
    out = folder.with_name("timelines.sweep") / "part-1.parquet"
    words = [folder]
    assert sweep(folder).exception is None
    if change == "the file":
        written(folder / "part-1.parquet", drawn(77))
    elif change == "the results":
        written(out, drawn(1))
    else:
        table = pq.read_table(folder / "part-1.parquet")
        words += ["--column", "other"] if change == "the column" else ["--top-logprobs"]
        nested = pa.array([[[-0.1, -2.0]]] * len(table)) if change == "the kind of lists" else table["entropy"]
        for path in folder.iterdir():
            name = "entropy" if change == "the kind of lists" else "other"
            pq.write_table(pa.table({name: nested}), path)
    before = out.read_bytes()
    done = sweep(*words)
    assert isinstance(done.exception, ConfigError)
    assert "holds something else than the results of" in str(done.exception)
    assert "--fresh" in str(done.exception)
    assert out.read_bytes() == before
    assert sweep(*words, "--fresh").exception is None


def test_top_logprobs_and_other_columns(tmp_path):
    logprobs = [[[-0.1, -2.5], [-0.7, -0.9], None], [], [[-1.0, -1.1, -3.0]] * 9]
    table = pa.table({"top": logprobs, "text": ["a", None, "c"], "more": [{"x": 1}] * 3, "at": pa.array([1, 2, 3])})
    pq.write_table(table, tmp_path / "a.parquet")
    done = sweep(tmp_path / "a.parquet", "--column", "top", "--top-logprobs", "--out", tmp_path / "out")
    assert done.exception is None, done.exception
    found = pq.read_table(tmp_path / "out" / "a.parquet")
    assert found.column_names[:2] == ["text", "at"]  # of the rest, each row has more than one value
    assert found["text"].to_pylist() == ["a", None, "c"]
    from ec_agent.bulk import score_lists

    assert found.select(list(results(tmp_path / "out" / "a.parquet"))).equals(
        score_lists(table["top"].combine_chunks(), top_logprobs=True)
    )


def broken(path, what):
    good = pa.table({"entropy": [[1.0, 0.5]]})
    if what == "0 bytes":
        path.touch()
    elif what == "no Parquet":
        path.write_text("entropy\n1.0\n")
    elif what == "cut short":
        pq.write_table(good, path)
        path.write_bytes(path.read_bytes()[:-20])
    else:
        columns = {
            "another column": {"entropies": [[1.0]]},
            "twice the column": pa.Table.from_arrays([pa.array([[1.0]])] * 2, names=["entropy", "entropy"]),
            "a row a token": {"entropy": [1.0]},
            "lists within lists": {"entropy": [[[1.0]]]},
            "texts": {"entropy": [["a"]]},
            "a null row": {"entropy": [[1.0], None]},
            "infinity": {"entropy": [[1.0], [np.inf]]},
            "a column of the results": {"entropy": [[1.0]], "centroid_1_80_2": [1]},
        }[what]
        pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("0 bytes", "cannot be read as Parquet"),
        ("no Parquet", "cannot be read as Parquet"),
        ("cut short", "cannot be read as Parquet"),
        ("another column", r"no column 'entropy' \(its columns: entropies\); name the column of lists with --column"),
        ("twice the column", "no column 'entropy'"),
        ("a row a token", "holds double, and no lists"),
        ("lists within lists", "lists within lists.*--top-logprobs"),
        ("texts", "lists of string"),
        ("a null row", "row 1 is null"),
        ("infinity", "row 1 has an infinite entropy"),
        ("a column of the results", "has a column 'centroid_1_80_2'"),
    ],
)
def test_a_file_that_cannot_be_scored_is_named(folder, what, words):
    folder_of(folder, files=1)
    broken(folder / "x.parquet", what)
    done = sweep(folder)
    assert isinstance(done.exception, LogprobsError)
    assert done.exception.__class__ is LogprobsError
    with pytest.raises(LogprobsError, match=words):
        raise done.exception
    assert str(folder / "x.parquet") in str(done.exception)
    out = folder.with_name("timelines.sweep")
    kept = {path.name for path in out.iterdir()} if out.exists() else set()
    # What the footer tells is told before anything is scored; what only the rows tell leaves the finished files.
    assert kept == ({"part-0.parquet"} if what in ("a null row", "infinity") else set())


def test_an_error_in_a_worker_is_the_same_error(folder):
    folder_of(folder, files=3)
    broken(folder / "part-1.parquet", "a null row")
    done = sweep(folder, "--workers", "3")
    assert isinstance(done.exception, LogprobsError)
    assert "part-1.parquet, column 'entropy': row 1 is null" in str(done.exception)
    assert not list(folder.with_name("timelines.sweep").glob("*.part"))


def test_files_without_rows_among_others(folder):
    rows = folder_of(folder, files=1)
    written(folder / "empty.parquet", [])
    assert sweep(folder).exception is None
    out = folder.with_name("timelines.sweep")
    assert pq.read_metadata(out / "empty.parquet").num_rows == 0
    assert results(out / "part-0.parquet") == own(rows["part-0.parquet"])


@pytest.mark.parametrize("rows", [[], [[], []], [[None]]], ids=["no rows", "no tokens", "no entropies"])
def test_nothing_to_score(folder, rows):
    written(folder / "a.parquet", rows)
    done = sweep(folder)
    assert isinstance(done.exception, LogprobsError)
    assert "no rollout could be scored" in str(done.exception)


@pytest.mark.parametrize("named", ["none.parquet", "none", "*.parquet", "empty", "x/**/y.parquet"])
def test_no_such_file(tmp_path, monkeypatch, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = sweep(named)
    assert isinstance(done.exception, LogprobsError)
    assert named in str(done.exception)


def test_where_results_may_not_go(folder, tmp_path):
    folder_of(folder, files=1)
    for out in (folder, tmp_path):
        done = sweep(folder, "--out", out)
        assert isinstance(done.exception, ConfigError)
        assert "holds the files to be read; name another folder" in str(done.exception)
    (tmp_path / "file").touch()
    done = sweep(folder, "--out", tmp_path / "file")
    assert isinstance(done.exception, ConfigError)
    assert "cannot be written" in str(done.exception)
    assert sweep(folder, "--out", folder / "scores").exception is None
    assert sweep(folder, "--out", folder / "scores").exception is None


def test_a_list_larger_than_the_limit(tmp_path):
    long = np.random.default_rng(1).random(400_000).tolist()
    for name, rows in (("one", [long]), ("among", [[1.0]] * 5 + [long])):
        file = written(tmp_path / f"{name}.parquet", rows)
        done = sweep(file, "--max-record", "1", "--out", tmp_path / "out")
        assert isinstance(done.exception, LogprobsError)
        assert "takes 3 MB of memory, more than the limit of 1" in str(done.exception)
        assert sweep(file, "--max-record", "4", "--out", tmp_path / "out").exception is None


@pytest.mark.parametrize(
    "words",
    [
        ["a.npz", "--workers", "2"],
        ["a.npy", "--column", "x"],
        ["a.npz", "--top-logprobs"],
        ["a.npz", "b.npz"],
        ["a.parquet", "--workers", "0"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together(words):
    assert sweep(*words).exit_code == 2


def test_names_that_are_not_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"odd\xff")
    folder_of(folder, files=2)
    assert sweep(folder).exception is None
    assert len(os.listdir(folder.with_name(f"{folder.name}.sweep"))) == 2
    assert sweep(folder).exception is None


def test_the_settings_are_in_the_results(folder):
    folder_of(folder, files=1)
    assert sweep(folder).exception is None
    made = parquet_lists.made_of(folder.with_name("timelines.sweep") / "part-0.parquet")
    assert made["settings"] == [config.to_dict() for config in SWEEP]
    assert (made["file"], made["column"]) == ("part-0.parquet", "entropy")


class Recorded:
    """A file that writes down how many bytes are read at a time."""

    def __init__(self, file, reads):
        self._file, self._reads = file, reads

    def read(self, size=-1):
        self._reads.append(size)
        return self._file.read(size)

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_large_group_of_rows_is_not_read_at_once(tmp_path, monkeypatch):
    values = np.random.default_rng(1).standard_exponential(3_000_000, np.float32)
    lists = pa.ListArray.from_arrays(np.arange(0, len(values) + 1, 10_000, dtype=np.int32), pa.array(values))
    pq.write_table(pa.table({"entropy": lists}), tmp_path / "a.parquet", use_dictionary=False)
    reads = []
    real = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda file, **more: real(Recorded(file, reads), **more))
    parts = list(parquet_lists.ListFile(tmp_path / "a.parquet", parquet_lists.Lists()).parts())
    assert sum(map(len, parts)) == 300
    assert max(map(len, parts)) <= 110
    assert sum(reads) > 9_000_000
    assert max(reads) <= 2 << 20


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--top-percent", "3"), "--top-percent"),
        (("--task-from", "task", "--strict"), "--task-from, --strict"),
        (("--signal", "entropy"), "--signal"),  # the default, and said
        (("--one-rollout",), "--one-rollout"),
        (("--format", "otel", "--max-depth", "9"), "--format, --max-depth"),
    ],
)
@pytest.mark.parametrize("kind", ["Parquet", "NumPy"])
def test_an_option_that_a_sweep_would_not_heed_is_refused(folder, words, named, kind):
    folder_of(folder, files=1)
    np.save(folder / "x.npy", np.ones((2, 3)))
    done = sweep(folder if kind == "Parquet" else folder / "x.npy", *words)
    assert done.exit_code == 2
    assert f"with --sweep, {named} would do nothing" in " ".join(done.stderr.split())
    assert {path.name for path in folder.parent.rglob("*")} == {"timelines", "part-0.parquet", "x.npy"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.parquet", "cannot read .*missing.parquet .*; name a Parquet file"),
        ("no*/*.parquet", "there is no file of that name that ends in .parquet; name Parquet files"),
        ("bare", "there is no file in it that ends in .parquet; name Parquet files"),
    ],
)
def test_what_is_not_there_is_told_beside_what_is(folder, name, words):
    folder_of(folder, files=1)
    (folder.parent / "bare").mkdir()
    done = sweep(folder, str(folder.parent / name))
    assert isinstance(done.exception, LogprobsError)
    with pytest.raises(LogprobsError, match=words):
        raise done.exception
    assert not list(folder.parent.rglob("centroids*")) + list(folder.parent.glob("*.sweep/**/*.parquet"))


def test_one_file_and_one_rollout_are_not_several(tmp_path):
    written(tmp_path / "a.parquet", [[1.0, 0.5, 0.1]])
    done = sweep(tmp_path / "a.parquet", "--out", tmp_path / "out")
    assert "centroids of 1 rollout " in done.stdout
    assert ", 1 file, columns" in done.stderr
