"""Every command that takes a trace file takes the URL of a PostgreSQL database in its place, and prints no password."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from click.testing import CliRunner

from ec_agent import HEPConfig, Selection, TraceStore, Trajectory
from ec_agent.cli.app import app
from ec_agent.rollouts.best_of_n import BestOfNResult
from ec_agent.rollouts.selection import CandidateReceipt

SECRET = "s3cret-word"
MY_MODULE = """
from langchain.agents import create_agent
from ec_agent.testing import Reply, ScriptedChatModel

agent = create_agent(ScriptedChatModel(lambda messages, index: Reply("391", entropies=[0.5, 0.1 * (index % 5)])), [])
"""


@pytest.fixture(scope="module")
def url(postgres):
    """A store with an evaluation of two tasks in it, and a recorded selection."""
    url = f"{postgres}&schema=c_{uuid4().hex}"
    return url.replace("postgres@", f"postgres:{SECRET}@", 1)


@pytest.fixture(scope="module")
def ran(url, tmp_path_factory):
    """What `ec-agent eval` printed, which filled the store."""
    folder = tmp_path_factory.mktemp("by_url")
    (folder / "by_url_module.py").write_text(MY_MODULE)
    lines = [{"id": name, "input": "17 * 23?", "expected": "391", "match": "contains"} for name in ("one", "two")]
    (folder / "tasks.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        words = ["eval", "tasks.jsonl", "--agent", "by_url_module:agent", "--n", "2", "--out", url]
        first, second = (run(*words) for _ in range(2))
    assert "2 tasks, 2 rollouts each and one at temperature 0" in first
    with TraceStore(url) as store:
        assert len(store.keys()) == 6
        receipt = [CandidateReceipt(0, 0.5, 0.5, None, 2, 2, 1, 1, 0, 1.0, 0.1)]
        usage = {"prompt_tokens": 1, "cached_tokens": 0, "generated_tokens": 2}
        chosen = Selection(0, (0,), tuple(receipt), 0.0, "lowest_centroid", HEPConfig(), 1, usage)
        store.record(BestOfNResult(None, chosen, (Trajectory.from_entropies([0.1, 0.2]),), ("answer",)), name="kept")
    return first + second


def run(*words, code=0):
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == code, (words, done.output, done.exception)
    assert SECRET not in done.output + str(done.exception)
    return done.output


@pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")
def test_an_evaluation_is_stored_and_shown(url, ran, tmp_path):
    assert SECRET not in ran
    assert "postgresql://postgres@/postgres?host=" in ran
    listed = [json.loads(line) for line in run("traces", "ls", url, "--json").splitlines()]
    assert [(row["id"], row["rollouts"]) for row in listed] == [("one", 2), ("two", 2), ("s1", 1)]
    assert "rollout 1" in run("traces", "show", url, "two", "--text")
    assert "chosen" in run("traces", "show", url, "s1")
    assert "tokens.parquet" in run("traces", "export", url, "--parquet", tmp_path / "tables")
    assert "Pass@1" in run("report", url, "--resamples", "100", "--json", tmp_path / "report.json")
    assert SECRET not in (tmp_path / "report.json").read_text()
    assert "two" in run("watch", url, "--no-follow")


def test_recorded_selections_are_pruned(url, ran):
    assert "1 selections: 1 rollouts" in run("traces", "prune", url, "--keep", "0", "--dry-run")
    with TraceStore(url) as store:
        (kept,) = store.selections()
        copy = kept.receipt
    assert copy.winner == 0
    assert "1 rollouts deleted" in run("traces", "prune", url, "--keep", "0", "--yes")
    assert "s1" not in run("traces", "ls", url)


@pytest.mark.parametrize(
    "words",
    [
        ("traces", "ls", f"postgresql://me:{SECRET}@127.0.0.1:1/db"),
        ("report", f"postgresql://me:{SECRET}@127.0.0.1:1/db"),
        ("watch", f"postgresql://me:{SECRET}@127.0.0.1:1/db", "--no-follow"),
        ("watch", f"postgresql://me:{SECRET}@127.0.0.1:1/db", "--input", "x"),
        ("calibrate", f"postgresql://me:{SECRET}@127.0.0.1:1/db"),
        ("traces", "ls", f"postgresql://me:{SECRET}@x@127.0.0.1:1/db"),
    ],
)
def test_errors_have_no_password(words):
    assert run(*words, code=1) is not None


@pytest.mark.parametrize(
    "words",
    [
        ("score", f"postgresql://me:{SECRET}@host/db"),
        ("commits", "ls", f"postgresql://me:{SECRET}@host/db"),
        ("traces", "ls", f"mysql://me:{SECRET}@host/db"),
    ],
)
def test_where_no_url_is_taken_that_is_told(words):
    assert "//" in run(*words, code=2)
