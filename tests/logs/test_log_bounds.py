"""Files that are far deeper or larger than any log: refused in plain words, in memory that does not grow with them."""

from __future__ import annotations

import io
import itertools
import json
import struct
import sys
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ec_agent import LogprobsError
from ec_agent.cli.app import app
from ec_agent.logs import found_in, opened
from ec_agent.logs.bounds import BoundError, Bounds, Depth
from ec_agent.numbers.entropy_files import EntropyFile
from ec_agent.testing import logprobs_for

if sys.version_info >= (3, 14):
    import zipfile as zstd_zipfile
else:
    from backports.zstd import zipfile as zstd_zipfile

ANSWER = {"choices": [{"logprobs": {"content": logprobs_for([2.0, 0.1, 0.1, 0.1])}}]}
SAMPLE = {"id": "one", "events": [], "output": ANSWER}
GOOD = json.dumps(ANSWER)
DEEP = 50_000


def told(path, **more):
    troubles = []
    with opened(path, **more) as source:
        return list(found_in(source, lambda where, what: troubles.append(f"{where} {what}"))), troubles


def zipped(path, members, module=zipfile, method=zipfile.ZIP_DEFLATED):
    with module.ZipFile(path, "w", method) as archive:
        for name, text in members.items():
            archive.writestr(f"samples/{name}.json", text)
    return path


# How deep text nests


def reference_depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(reference_depth, inner), default=0)


WORDS = st.text(st.sampled_from('[]{}"\\/\n aé\u5b5b'), max_size=6)
VALUES = st.recursive(
    st.one_of(st.none(), st.integers(), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=12,
)


@given(VALUES, st.booleans(), st.lists(st.integers(0, 200), max_size=5))
def test_the_depth_does_not_depend_on_the_pieces(value, ascii_only, cuts):
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    places = [0, *sorted(cuts), len(text)]
    depth = Depth()
    assert max(depth.within(text[a:b]) for a, b in itertools.pairwise(places)) == reference_depth(value)


@given(VALUES, st.integers(1, 6))
def test_what_is_within_the_bound_is_read(value, bound):
    text = json.dumps(value)
    if reference_depth(value) <= bound:
        assert Bounds(depth=bound).parsed(text) == value
    else:
        with pytest.raises(BoundError, match=f"more than {bound} levels"):
            Bounds(depth=bound).parsed(text)


def deep_files(folder):
    arrays, objects = "[" * DEEP, '{"a":' * DEEP
    texts = {
        "brackets.json": arrays,
        "whole.json": arrays + "]" * DEEP,
        "braces.json": objects,
        "lines.jsonl": f"{arrays}\n{GOOD}\n{objects}\n",
        "elements.json": f'[{GOOD}, {{"a": {arrays}',
        "pretty.json": "[\n" * DEEP,
        "strings.json": '{"entropies": "\\\\", "b": ' + arrays,
        "inspect.json": f'{{"status": "success", "eval": {{}}, "samples": [{json.dumps(SAMPLE)}, {arrays}',
        "runs.jsonl": json.dumps({"trace_id": "t", "run_type": "llm", "outputs": arrays}),
        "extra.jsonl": json.dumps({"trace_id": "t", "run_type": "llm", "outputs": GOOD, "extra": objects}),
        "reference.json": f'[{{"id": 1, "entropy_sequence": {arrays}',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    members = {"0": json.dumps(SAMPLE), "1": arrays, "2": f'{{"id": {arrays}'}
    zipped(folder / "deflated.eval", members)
    zipped(folder / "stored.eval", members, method=zipfile.ZIP_STORED)
    zipped(folder / "zstandard.eval", members, zstd_zipfile, zstd_zipfile.ZIP_ZSTANDARD)
    return [*texts, "deflated.eval", "stored.eval", "zstandard.eval"]


def test_refusing_deep_files_takes_constant_memory(tmp_path):
    for name in deep_files(tmp_path):
        tracemalloc.start()
        try:
            found, troubles = told(tmp_path / name)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 5_000_000, (name, peak)  # ijson's paths alone took gigabytes
        assert any("more than 200 levels deep" in trouble for trouble in troubles), (name, troubles)
        good = {"lines.jsonl", "elements.json", "inspect.json", "deflated.eval", "stored.eval", "zstandard.eval"}
        assert len(found) == (name in good), name


def test_the_command_says_it_and_can_be_told_otherwise(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text("[" * 300 + "]" * 300 + "\n" + GOOD)
    done = CliRunner().invoke(app, ["score", str(file)])
    assert "line 1 nests more than 200 levels deep" in done.stderr
    assert "--max-depth allows up to 500" in done.stderr
    assert done.exit_code == 0  # the other record was scored
    again = CliRunner().invoke(app, ["score", str(file), "--max-depth", "300"])
    assert "levels" not in again.stderr
    assert "line 1 cannot be read" in again.stderr  # it is no answer of a model, and that is all
    file.write_text("[" * 300)
    alone = CliRunner().invoke(app, ["score", str(file)])
    assert isinstance(alone.exception, LogprobsError)
    assert CliRunner().invoke(app, ["score", str(file), "--max-depth", "501"]).exit_code == 2


def test_json_of_the_highest_depth_limit_can_be_read():
    assert Bounds(depth=500).parsed("[" * 500 + "]" * 500)


# How large a record is

BLANKS = 20 << 20


@pytest.mark.parametrize(
    ("module", "method"),
    [(zipfile, zipfile.ZIP_DEFLATED), (zstd_zipfile, zstd_zipfile.ZIP_ZSTANDARD)],
    ids=["deflate", "zstandard"],
)
def test_a_small_zip_that_unpacks_to_much(tmp_path, module, method):
    members = {"0": " " * BLANKS + json.dumps(SAMPLE), "1": json.dumps(SAMPLE)}
    log = zipped(tmp_path / "log.eval", members, module, method)
    assert log.stat().st_size < 100_000
    tracemalloc.start()
    try:
        found, (trouble,) = told(log)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert "samples/0.json is a record of more than 16 MB" in trouble
    assert "--max-record" in trouble
    assert len(found) == 1
    assert len(told(log, bounds=Bounds(record=BLANKS + 10_000))[0]) == 2


def test_a_zip_that_lies_about_a_size(tmp_path):
    text = b" " * BLANKS
    log = zipped(tmp_path / "log.eval", {"0": text})
    raw, size = log.read_bytes(), struct.pack("<I", BLANKS)
    assert raw.count(size) == 2
    log.write_bytes(raw.replace(size, struct.pack("<I", 100)))
    tracemalloc.start()
    try:
        found, (trouble,) = told(log)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert (found, "cannot be unpacked" in trouble) == ([], True)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unknown_packings_are_refused(tmp_path, method):
    found, (trouble,) = told(zipped(tmp_path / "log.eval", {"0": json.dumps(SAMPLE)}, method=method))
    assert (found, "cannot be unpacked" in trouble) == ([], True)


def test_a_damaged_zip_is_said(tmp_path):
    log = zipped(tmp_path / "log.eval", {"0": json.dumps(SAMPLE) * 10})
    raw = bytearray(log.read_bytes())
    raw[60:90] = bytes(30)
    log.write_bytes(raw)
    found, (trouble,) = told(log)
    assert (found, "cannot be unpacked" in trouble) == ([], True)


LONG = json.dumps({"id": "x" * 3_000_000, **ANSWER})
LARGE = {
    "log.jsonl": ([GOOD, LONG, GOOD], "\n".join, 2),
    "log.json": ([GOOD, LONG, GOOD], lambda records: f"[{','.join(records)}]", 2),
    "one.json": ([LONG], "".join, 0),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_record(tmp_path, name):
    records, joined, kept = LARGE[name]
    (tmp_path / name).write_text(joined(records))
    found, (trouble,) = told(tmp_path / name, bounds=Bounds(record=1 << 20))
    assert "is a record of more than 1 MB" in trouble
    assert len(found) == kept
    assert len(told(tmp_path / name)[0]) == len(records)


def test_many_small_records_are_no_large_one(tmp_path):
    text = "[" + ",".join([GOOD] * 2000) + "]"
    (tmp_path / "log.json").write_text(text)
    found, troubles = told(tmp_path / "log.json", bounds=Bounds(record=200_000))
    assert (len(found), troubles) == (2000, [])
    assert len(text) > 200_000


def test_the_option_for_large_records(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text(LONG)
    done = CliRunner().invoke(app, ["score", str(file), "--max-record", "1"])
    assert "more than 1 MB" in str(done.exception)
    assert CliRunner().invoke(app, ["score", str(file), "--max-record", "4"]).exit_code == 0


# Files of entropies


def header(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("shape", [(10**12,), (10**9, 10**9), (10**12, 0), (2**61, 2**3)])
def test_an_npy_that_tells_of_more_than_it_holds(tmp_path, shape):
    (tmp_path / "a.npy").write_bytes(header(shape) + bytes(80))
    with pytest.raises(LogprobsError, match=r"ends too early|MB of memory"):
        EntropyFile(tmp_path / "a.npy")


def test_an_npz_that_tells_of_more_than_it_holds(tmp_path):
    for name, shapes in {"a.npz": ((10**12,), (1,)), "b.npz": ((2,), (10**12,))}.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member, shape in zip(("entropies", "lengths"), shapes, strict=True):
                archive.writestr(f"{member}.npy", header(shape) + bytes(16))
        with pytest.raises(LogprobsError, match="ends too early"):
            EntropyFile(tmp_path / name)


def test_one_large_rollout_and_how_to_read_it(tmp_path):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, entropies=np.zeros(400_000), lengths=[100, 399_900])
    assert file.stat().st_size < 10_000
    done = CliRunner().invoke(app, ["score", "--sweep", str(file), "--max-record", "1"])
    assert isinstance(done.exception, LogprobsError)
    assert "a rollout would take 3 MB of memory, more than the limit of 1" in str(done.exception)
    assert EntropyFile(file, 4 << 20).lengths.tolist() == [100, 399_900]


def test_a_damaged_npz_is_said(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, entropies=np.arange(1000.0), lengths=[1000])
    raw = file.read_bytes()
    file.write_bytes(raw.replace(struct.pack("<d", 7.0), struct.pack("<d", 8.0)))
    assert zlib.crc32(raw) != zlib.crc32(file.read_bytes())
    with pytest.raises(LogprobsError, match="is damaged"):
        list(EntropyFile(file).parts())
