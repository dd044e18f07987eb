"""Words of models, logs, file names, servers and standard input reach the terminal as text, by every command."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import warnings
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import click
import numpy as np
import pyarrow.parquet
import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

import ec_agent.cli.app_fetch as commands
from ec_agent import Call, LowestCentroid, SQLiteJournal, TraceStore, Trajectory
from ec_agent.cli import main
from ec_agent.cli.app import app
from ec_agent.cli.streams import PlainStream, plain_streams
from ec_agent.errors import EcAgentError, LocalModelError
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.live.console import PlainConsole
from ec_agent.numbers.trajectory import ToolUse
from ec_agent.rollouts.best_of_n import BestOfNResult
from ec_agent.selectors import Candidate
from ec_agent.traces.stored import StoredRollout
from ec_agent.visual.chosen_anew import selection_of

BAD = "\x1b[31mred\x1b]8;;http://x.invalid\x07li\x9b1mnk\x08\x7f\u202e\r!"
NAME = BAD.replace("/", "-")  # of a file
ORDER = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """``run(words)``: what the command line prints, on both outputs, and its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("COLUMNS", "200")

    def running(*words, stdin=""):
        monkeypatch.setattr(sys, "argv", ["ec-agent", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        with pytest.raises(SystemExit) as left:
            main()
        seen = capfd.readouterr()
        return seen.out + seen.err, left.value.code

    return running


def trajectory():
    return Trajectory(
        [Call([2.0, 0.1, 0.1], texts=(BAD, "b", BAD), model=BAD, node=BAD, tools=(ToolUse(BAD, BAD, BAD, BAD),))] * 2
    )


def recorded(folder):
    candidates = [Candidate(0, trajectory(), final_action=BAD), Candidate(1, trajectory(), error=BAD)]
    chosen = selection_of(candidates, LowestCentroid())
    with TraceStore(folder / "traces.db", create=True) as store:
        store.record(BestOfNResult(None, chosen, (trajectory(),) * 2, (BAD, None)), name=BAD)
    return folder / "traces.db"


def stored(folder):
    settings = RunSettings(n=2, greedy=False)
    with TraceStore(folder / "run.db", create=True) as store:
        store.begin({"agent": BAD, **settings.lasting()}, dict.fromkeys((BAD, "b", "c", "d", "e"), "mark"))
        for task in store.tasks():
            for key in settings.keys(task):
                failed = BAD if key.number else None
                usage = dict.fromkeys(("prompt_tokens", "cached_tokens", "generated_tokens"), 3)
                verdict = 0.0 if failed else 1.0
                store.add(StoredRollout(key, 0, {"x": BAD}, trajectory(), BAD, verdict, failed, 0.0, 0.5, usage))
    return folder / "run.db"


class Server(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"error": {"message": BAD, "type": BAD, "code": BAD}}, ensure_ascii=False).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.do_POST()


@pytest.fixture
def server():
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield serving
    serving.shutdown()
    serving.server_close()


def demo(run, folder, server, patch):
    yield run("demo", "-n", BAD)
    patch.setattr("ec_agent.cli.demo.run_demo", failing)
    yield run("demo", BAD)


def failing(*_, **__):
    raise RuntimeError(BAD)


def score(run, folder, server, patch):
    with zipfile.ZipFile(folder / "log.eval", "w") as archive:
        archive.writestr(f"samples/{BAD}.json", "not json")
    yield run("score", folder / "log.eval")
    lines = [{"id": BAD, "entropies": [2.0, 0.1]}, {"id": BAD, BAD: 1}, {"choices": [{"logprobs": BAD}], "model": BAD}]
    (folder / f"{NAME}.jsonl").write_text(
        "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + f"\n{BAD}"
    )
    yield run("score", folder / f"{NAME}.jsonl", folder / f"{NAME}.jsonl")
    yield run("score", "-", stdin=f"{BAD}\n[2.0, 0.1]\n")
    yield run("score", BAD, "--format", BAD)
    yield run("score", folder / NAME)
    np.savez(folder / f"{NAME}.npz", entropies=np.zeros(4, np.float16), lengths=[4])
    yield run("score", "--sweep", folder / f"{NAME}.npz")
    for columns in ({BAD: [[1.0]]}, {"entropy": [[1.0], None]}):
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / f"{NAME}.parquet")
        yield run("score", "--sweep", folder / f"{NAME}.parquet", "--out", folder / NAME)
    yield run("score", "--sweep", folder / f"{NAME}.parquet", "--column", BAD)


def doctor(run, folder, server, patch):
    for server.status in (400, 401, 500):
        yield run("doctor", f"http://127.0.0.1:{server.server_port}/v1", "--model", BAD, "--timeout", "5")
    yield run("doctor", BAD)
    (folder / "their_model.py").write_text(f"raise RuntimeError({BAD!r})")
    yield run("doctor", "their_model:model")


def evaluate(run, folder, server, patch):
    (folder / "tasks.jsonl").write_text(json.dumps({"id": BAD, "input": BAD, "expected": "x", "match": "contains"}))
    (folder / "their_agent.py").write_text(
        f"import sys\nBAD = {BAD!r}\ndef agent(state):\n"
        "    print(BAD)\n    print(BAD, file=sys.stderr)\n    raise ValueError(BAD)\n"
    )
    yield run("eval", "tasks.jsonl", "--agent", "their_agent:agent", "--n", "2", "--no-greedy", "--out", "out.db")
    yield run("eval", BAD, "--agent", BAD)
    (folder / "bad.jsonl").write_text(BAD)
    yield run("eval", "bad.jsonl", "--agent", "their_agent:agent")


def suite(run, folder, server, patch):
    list(evaluate(run, folder, server, patch))  # its tasks and its agent
    model = f'[[models]]\nname = {json.dumps(BAD)}\nbase_url = "http://127.0.0.1:{server.server_port}/v1"\n'
    family = f'[[families]]\ntasks = "tasks.jsonl"\nname = {json.dumps(BAD)}\nrun = {{ n = 1, greedy = false }}\n'
    (folder / "suite.toml").write_text(f'folder = "suite"\nagent = "my_terminal_agents:make"\n{model}{family}')
    (folder / "my_terminal_agents.py").write_text("from their_agent import agent\ndef make(model):\n    return agent\n")
    yield run("suite", "suite.toml", "--dry-run")
    yield run("suite", "suite.toml")
    yield run("suite", "suite.toml", "--page-only")
    (folder / "bad.toml").write_text(f"[run]\n{json.dumps(BAD)} = 1\n{model}{family}")
    yield run("suite", "bad.toml")
    yield run("suite", BAD)


def watch(run, folder, server, patch):
    event = {"type": "ec_agent.rollout.failed", "index": 0, "label": BAD, "error": BAD, "tool": BAD, "node": BAD}
    (folder / "events.jsonl").write_text(f"{json.dumps(event)}\n{BAD} not an event\n")
    yield run("watch", "events.jsonl", "--no-follow")
    yield run("watch", "-", stdin=f"{json.dumps(event)}\n{BAD} not an event\n")
    yield run("watch", stored(folder), "--no-follow")
    yield run("watch", BAD)


def calibrate(run, folder, server, patch):
    yield run("calibrate", BAD)
    yield run("calibrate", stored(folder), "--out", folder / NAME / NAME, "--repeats", "1", "--partial")
    yield run("calibrate", stored(folder), "--selectors", BAD)


def report(run, folder, server, patch):
    file = stored(folder)
    for more in ([], ["--json", "-"], ["--csv", "-"], ["--html", folder / f"{NAME}.html"], ["--selectors", BAD]):
        yield run("report", file, "--resamples", "19", *more)
    yield run("report", file, "--task", BAD, "--html", folder / f"{NAME}.html")
    yield run("report", file, "--task", f"no {BAD}", "--html", "page.html")
    yield run("report", BAD)


def traces_ls(run, folder, server, patch):
    for file in (recorded(folder), stored(folder)):
        for more in ([], ["--rollouts"], ["--json"]):
            yield run("traces", "ls", file, *more)
    yield run("traces", "ls", BAD)
    TraceStore(folder / f"{NAME}.db", create=True).close()
    yield run("traces", "ls", folder / f"{NAME}.db")


def traces_show(run, folder, server, patch):
    file = recorded(folder)
    for more in (["s1"], ["r1", "--text"], ["r2"], ["s1", "--json"], [BAD]):
        yield run("traces", "show", file, *more)
    yield run("traces", "show", stored(folder), BAD)


def traces_export(run, folder, server, patch):
    yield run("traces", "export", recorded(folder), "--parquet", folder / NAME)
    yield run("traces", "export", recorded(folder), "--parquet", folder / NAME)  # it is there already


def traces_prune(run, folder, server, patch):
    recorded(folder).rename(folder / f"{NAME}.db")
    yield run("traces", "prune", folder / f"{NAME}.db", "--keep", "0", "--yes")
    yield run("traces", "prune", folder / f"{NAME}.db", "--older-than", BAD)


def traces_merge(run, folder, server, patch):
    yield run("traces", "merge", stored(folder), "--into", folder / f"{NAME}.db")
    yield run("traces", "merge", stored(folder), "--into", folder / f"{NAME}.db")  # it is there already
    yield run("traces", "merge", recorded(folder), "--into", folder / f"{NAME}.db")
    yield run("traces", "merge", BAD, "--into", folder / "other.db")


def commits_of(folder):
    intent = {"key": BAD, "tool": BAD, "args": {BAD: BAD}, "at": 1.0, "thread": BAD, "status": BAD}
    SQLiteJournal(folder / f"{NAME}.db").claim(BAD, 0, intent)
    return folder / f"{NAME}.db"


def commits_ls(run, folder, server, patch):
    for more in ([], ["--all"], ["--json"]):
        yield run("commits", "ls", commits_of(folder), *more)
    yield run("commits", "ls", BAD)


def commits_settle(run, folder, server, patch):
    file = commits_of(folder)
    yield run("commits", "settle", file, f"no {BAD}", "--not-done")
    yield run("commits", "settle", file, BAD, "--done", BAD)


def init(run, folder, server, patch):
    yield run("init", folder / f"{NAME}.py")
    yield run("init", BAD)


def completion(run, folder, server, patch):
    yield run("completion", BAD)
    yield run("completion", "bash")


def fetch(name):
    def fetching(run, folder, server, patch):
        patch.setattr(f"ec_agent.local.fetch.{name}", lambda: [folder / NAME])
        yield run("fetch", name.removeprefix("fetch_").replace("_", "-"))

        def refuse():
            raise LocalModelError(BAD)

        patch.setattr(f"ec_agent.local.fetch.{name}", refuse)
        yield run("fetch", name.removeprefix("fetch_").replace("_", "-"))

    return fetching


FED = {
    "init": init,
    "completion": completion,
    "demo": demo,
    "score": score,
    "doctor": doctor,
    "eval": evaluate,
    "suite": suite,
    "watch": watch,
    "calibrate": calibrate,
    "report": report,
    "traces ls": traces_ls,
    "traces show": traces_show,
    "traces export": traces_export,
    "traces merge": traces_merge,
    "traces prune": traces_prune,
    "commits ls": commits_ls,
    "commits settle": commits_settle,
    "fetch model": fetch("fetch_model"),
    "fetch bfcl": fetch("fetch_bfcl"),
    "fetch larger-model": fetch("fetch_larger_model"),
}


def every_command(group=app, before=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, (*before, name))
        else:
            yield " ".join((*before, name))


def test_every_command_is_fed_with_hostile_text():
    assert set(FED) == set(every_command())


@pytest.mark.members(6)
@pytest.mark.parametrize("command", FED)
def test_what_a_command_prints_gives_no_orders(command, run, tmp_path, server, monkeypatch):
    told = list(FED[command](run, tmp_path, server, monkeypatch))
    assert told
    for printed, _ in told:
        assert ORDER.search(printed.replace("\n", "")) is None, printed
        printed.encode()
    assert any("\u241b[31mred" in printed or "\\x1b[31mred" in printed for printed, _ in told)  # it is shown, not lost


@pytest.mark.parametrize("words", [[BAD], ["score", f"--{BAD}"], ["traces", BAD], ["score"], ["report", "x", BAD]])
def test_errors_of_usage_give_the_terminal_no_orders(run, words):
    printed, code = run(*words)
    assert code == 2
    assert ORDER.search(printed) is None


@pytest.mark.parametrize(
    "ends", [EcAgentError(BAD), RuntimeError(BAD), SystemExit(BAD), click.ClickException(BAD), OSError(5, BAD, BAD)]
)
def test_no_order_reaches_the_terminal_however_a_command_ends(run, monkeypatch, ends):
    def end(*_, **__):
        raise ends

    monkeypatch.setattr(commands.fetch_model, "callback", end)
    printed, code = run("fetch", "model")
    assert code == 1
    assert "red\u241b]8;;http" in printed or "red\\x1b]8;;http" in printed  # click takes colours out by itself
    assert ORDER.search(printed) is None


def test_no_order_reaches_the_terminal_whatever_prints_it(capfd):
    with plain_streams():
        print(BAD)
        print(BAD, file=sys.stderr)
        click.echo(BAD)
        click.secho(BAD, err=True, fg="red")
        sys.stdout.writelines([BAD])
        sys.stderr.write(warnings.formatwarning(BAD, UserWarning, "x", 1))  # pytest keeps those that warn() tells
        logging.lastResort.handle(logging.LogRecord("x", logging.ERROR, "x", 1, BAD, None, None))
    seen = capfd.readouterr()
    assert ORDER.search((seen.out + seen.err).replace("\n", "")) is None
    assert (seen.out + seen.err).count("\u241b]8;;http") >= 5
    assert not isinstance(sys.stdout, PlainStream)


def test_an_encoding_that_cannot_say_it():
    behind = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    PlainStream(behind).write(f"{BAD} \u00e9 \ud800\n")
    behind.flush()
    assert behind.buffer.getvalue().startswith(b"?[31mred?]8;;http")


def test_a_progress_bar_of_another_library_keeps_its_line():
    behind = io.StringIO()
    PlainStream(behind).write("\r 10 %\r 20 %")
    assert behind.getvalue() == "\r 10 %\u240d 20 %"


def test_on_a_terminal_the_only_orders_are_richs_own():
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, width=200, legacy_windows=False)
    table = Table(title=BAD)
    table.add_column(BAD)
    table.add_row(BAD, style="bold")
    for drawn in (Text(BAD, "bold"), Text(BAD, "link http://x.invalid"), table, Text.from_ansi(BAD)):
        console.print(drawn)
    console.print(BAD, markup=False)
    with console.status(BAD), Live(Text(BAD), console=console):
        pass
    printed = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", file.getvalue())  # colours, and where the cursor goes
    assert re.search("[\x1b\x07\x08\x7f-\x9f\u202e]", printed) is None
    assert "\u241b]8;;http" in printed
