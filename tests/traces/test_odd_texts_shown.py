"""What servers and users said in half characters is shown and exported by every way, and a full disk is said."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from langchain.agents import create_agent
from langchain_core.tools import tool

from ec_agent import ConfigError, LowestCentroid, TraceError, TraceStore, best_of_n, read_only
from ec_agent.cli import files
from ec_agent.cli.app import app
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces.parquet import NAMES, export_parquet

HALF = "x\ud83dy"
WRITTEN = "x\\ud83dy"


@read_only
@tool
def look(q: str) -> str:
    """Look."""
    return f"{q} {HALF}"


class Named(LowestCentroid):
    """A user's selector."""

    name = HALF


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    file = tmp_path_factory.mktemp("odd") / "traces.db"
    scripts = [
        [Reply(tool_calls=[("look", {"q": HALF})], entropies=[2.0, 0.1, 0.1]), Reply(HALF, entropies=[0.1, 0.1])],
        [Reply(error=ValueError(HALF))],
    ]
    agent = create_agent(ScriptedChatModel(scripts, model_name=HALF), [look], name=HALF)
    node = best_of_n(agent, n=2, selector=Named(), keep_text=True, keep_candidates=2)
    with TraceStore(file, create=True) as store:
        result = node.run({"messages": HALF})
        store.record(result, name=HALF)
    return file, result


@pytest.mark.parametrize(
    "words",
    [
        ("traces", "ls"),
        ("traces", "ls", "--rollouts"),
        ("traces", "ls", "--json"),
        ("traces", "show", "s1"),
        ("traces", "show", "s1", "--json"),
        ("traces", "show", "r1", "--text"),
        ("traces", "show", "r2", "--json"),
        ("score",),
        ("report", "--html"),
    ],
    ids=" ".join,
)
def test_every_command_shows_them(recorded, tmp_path, words):
    page = tmp_path / "page.html"
    more = [str(page)] if "--html" in words else []
    head = words[:2] if words[0] == "traces" else words[:1]
    done = CliRunner().invoke(app, [*head, str(recorded[0]), *words[len(head) :], *more])
    assert done.exit_code == 0, done.output
    assert done.output.encode()
    if "--json" in words:
        assert all(isinstance(json.loads(line), dict) for line in done.output.splitlines())
    if more:
        assert "x" in page.read_text(encoding="utf-8")


def test_a_page_is_whole_unicode(recorded):
    assert HALF not in recorded[1].selection.to_html(HALF).encode().decode()


def test_tables_have_them_written_out(recorded, tmp_path):
    with TraceStore(recorded[0]) as store:
        export_parquet(store, tmp_path / "tables")
    selections, calls, rollouts = (
        pq.read_table(tmp_path / "tables" / f"{name}.parquet").to_pylist()
        for name in ("selections", "calls", "rollouts")
    )
    assert (selections[0]["name"], selections[0]["selector"]) == (WRITTEN, WRITTEN)
    assert {call["model"] for call in calls} == {WRITTEN}
    assert WRITTEN in rollouts[1]["error"]


def test_tables_on_a_full_disk_leave_nothing_half(recorded, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = tmp_path / "tables"
    with monkeypatch.context() as patch, TraceStore(recorded[0]) as store:
        patch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(TraceError, match=r"No space left on device.*give another folder"):
            export_parquet(store, folder)
        assert list(folder.iterdir()) == []
    with TraceStore(recorded[0]) as store:
        assert set(export_parquet(store, folder)) == set(NAMES)


def test_values_that_parquet_cannot_hold_raise(recorded, tmp_path, monkeypatch):
    with TraceStore(recorded[0]) as store:
        odd = [replace(rollout, started=1e300) for rollout in store.rollouts()]
        monkeypatch.setattr(store, "rollouts", lambda: iter(odd))
        with pytest.raises(TraceError, match="holds a value that Parquet cannot hold"):
            export_parquet(store, tmp_path / "tables")


def test_a_full_disk_leaves_no_partial_page(tmp_path, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            self.file.close()

        def write(self, text):
            self.file.write(text[:5])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real = open
    monkeypatch.setattr(files, "open", lambda *args, **kwargs: Full(real(*args, **kwargs)), raising=False)
    kept = tmp_path / "kept.html"
    kept.write_text("before")
    for path in (tmp_path / "page.html", kept):
        with pytest.raises(ConfigError, match="No space left on device"):
            files.written(path, "a page")
    assert [each.name for each in tmp_path.iterdir()] == ["kept.html"]  # one that was there is not ours to delete
