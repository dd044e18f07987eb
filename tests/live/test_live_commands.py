"""``ec-agent watch``, and ``--live`` of eval and demo, as they are used."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import live_events as made
import live_programs
import pytest
from pty_screen import ROOT, Terminal
from rich.console import Console

from ec_agent import best_of_n, live
from ec_agent.cli import demo
from ec_agent.cli.eval import Command, run_eval
from ec_agent.cli.watch import input_in, run_watch
from ec_agent.errors import ConfigError, EcAgentError
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.traces.sql.store import TraceStore

ASKED = '{"messages": [["user", "?"]]}'


def watch(source, given=None, n=None, follow=False):
    run_watch(source, given=given, n=n, follow=follow)


@pytest.mark.parametrize(
    ("place", "n"),
    [("plain_graph", None), ("node", None), ("plain_agent", 4)],
    ids=["a graph with it inside", "a best_of_n", "an agent to be wrapped"],
)
def test_a_graph_of_ones_own_is_run_and_watched(capsys, place, n):
    watch(f"live_programs:{place}", ASKED, n)
    out, told = capsys.readouterr()
    assert out == "answer 3\n"
    lines = told.splitlines()
    assert lines[-1].startswith("chosen by lowest_centroid: rollout 3 of 4")
    assert sum(line.endswith("tool look_up_price") for line in lines) == 4
    assert sum("failed: ValueError: down [bold]?[31m and out" in line for line in lines) == 1
    assert "rollout 2  not scored: coverage" in lines


def test_an_answer_cannot_order_the_terminal_about(capsys):
    watch("live_programs:nasty_agent", "what?")
    assert capsys.readouterr().out == "down [bold]\N{SYMBOL FOR ESCAPE}[31m and out\n"


def test_a_graph_without_best_of_n_says_so(capsys):
    watch("live_programs:plain_agent", "what?")
    out, told = capsys.readouterr()
    assert out == "answer 0\n"
    assert "no best_of_n ran in live_programs:plain_agent; with -n 8 it is wrapped in one" in " ".join(told.split())


@pytest.mark.parametrize(
    ("source", "given", "n", "said"),
    [
        ("nothing.jsonl", None, None, "there is no file 'nothing.jsonl'; give one"),
        ("live_programs:node", None, None, "--input is missing; give"),
        ("live_programs:node", "?", 3, "is a best_of_n with its own n; leave -n out"),
        ("live_programs:function", "?", None, "is of type function; give -n"),
        ("live_programs:none", "?", None, "live_programs has no none"),
        ("-", "?", None, "leave them out"),
        ("live_programs:node", "@none.json", None, "none.json cannot be read .* give JSON"),
    ],
    ids=range(7),
)
def test_arguments_it_cannot_have_are_refused_by_name(source, given, n, said):
    with pytest.raises(ConfigError, match=said):
        watch(source, given, n)


def test_an_input_is_json_a_file_or_a_message(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text('{"q": 1}')
    monkeypatch.setattr(sys, "stdin", io.StringIO("[2]"))
    assert [input_in(given) for given in ('{"q": 1}', f"@{tmp_path}/a.json", "-", "3", "hello {")] == [
        *({"q": 1}, {"q": 1}, [2], 3),
        {"messages": [("user", "hello {")]},
    ]


def test_events_of_another_process_are_watched_until_their_end(tmp_path, capsys):
    path = tmp_path / "events.jsonl"
    with live.log(path) as on_event:
        for event in made.whole(2):
            on_event(event)
    with path.open("a") as file:
        file.write("printed [by] something else\n\n" + json.dumps(dict(made.event("end"))) + "\n")
    watch(str(path), follow=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rollout 0  started"
    assert lines[-2].startswith("chosen by lowest_centroid: rollout 0 of 2")
    assert lines[-1] == "printed [by] something else"


def test_a_pipe_is_watched_to_its_end(monkeypatch, capsys):
    text = "\n".join(map(json.dumps, made.whole(1))) + "\nnot ours\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    watch("-")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rollout 0  started"
    assert lines[-1] == "not ours"


@pytest.mark.whole_form("a process of its own; that Ctrl-C ends a watched graph is in the short form")
def test_it_ends_quietly_with_the_reader_of_its_pipe(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(map(json.dumps, made.whole(200))) + "\n")
    process = subprocess.Popen(command("watch", str(path)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"rollout 0  started\n"
    process.stdout.close()
    with path.open("a") as file:
        file.write(json.dumps(made.started(0, 1, question="later")) + "\n")
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def command(*words):
    return [sys.executable, "-m", "ec_agent.cli", *words]


def test_ctrl_c_ends_a_watched_graph_at_once_though_its_tools_block(tmp_path):
    words = ["watch", "live_programs:waiting_graph", "--input", "?"]
    with Terminal(command(*words), 100, 24, SIGNS=str(tmp_path)) as terminal:
        terminal.until(lambda: terminal.text.count("look_up_price") == 4)
        terminal.interrupt()
        assert terminal.finish(20) == 130
        assert terminal.text.count("look_up_price") == 4  # as it stood
        said = "stopped; 0 of 4 rollouts had ended, after 4 calls and 40 tokens; none was chosen"
        assert said in terminal.text
    assert "Traceback" not in terminal.text


@pytest.fixture
def questions(tmp_path):
    lines = [{"id": f"t{place}", "input": "?", "expected": "answer 0", "match": "exact"} for place in range(2)]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "questions.jsonl"


def evaluated(questions, agent, capsys):
    path = questions.with_suffix(".db")
    told = Command(str(questions), agent, out=path, live=True)
    assert run_eval(told, RunSettings(n=2, concurrency=1)) == 0
    said = capsys.readouterr().out.splitlines()
    watch(str(path), follow=True)
    return said, capsys.readouterr().out.splitlines()


def test_an_evaluation_shown_live_and_watched_again(questions, capsys):
    said, again = evaluated(questions, "live_programs:plain_agent", capsys)
    assert {"t0 #1  started", "t0 #1  tool look_up_price", "t1 greedy  judged 1", "6/6 rollouts stored"} <= set(said)
    assert any(re.fullmatch(r"t0 #1  ended: 2 calls, 20 tokens, \d+\.\d s", line) for line in said)
    assert not any(line.startswith(("rollout", "chosen")) for line in said)
    kept = {line for line in said if re.match(r"t\d", line) and "  tool " not in line and ": " not in line}
    assert kept <= set(again)
    assert again[-1] == "6/6 rollouts stored"


def test_failures_of_an_evaluation_are_told_live_as_ever(questions, capsys):
    said, _ = evaluated(questions, "live_programs:failing_agent", capsys)
    assert sum(line.startswith("failed  t") for line in said) == 6
    assert any(line.startswith("t0 #0  failed: ValueError: down [bold]?[31m and out (1 call,") for line in said)
    assert not any("judged" in line for line in said)


@pytest.mark.whole_form("a process of its own; that Ctrl-C ends a watched graph is in the short form")
def test_ctrl_c_in_a_live_evaluation_keeps_what_is_stored(questions, tmp_path):
    path, words = tmp_path / "run.db", ["--n", "2", "--concurrency", "2", "--no-greedy", "--live"]
    words += ["--agent", "live_programs:waiting_agent", "--out", str(path)]
    with Terminal(command("eval", str(questions), *words), 100, 24, SIGNS=str(tmp_path)) as terminal:
        terminal.until(lambda: terminal.text.count("look_up_price") == 2)
        assert "t0 #0  tool" in terminal.text
        assert "0/4 ended  2 running" in terminal.text
        terminal.interrupt()
        assert terminal.finish(20) == 130
    with TraceStore(path) as store:
        assert not store.keys()
    assert "stopped; 0 rollouts are in" in terminal.text
    assert sum(line.split()[:2] == ["#", "state"] for line in terminal.everything.splitlines()) == 1


@pytest.mark.parametrize("shows_live", [False, True])
def test_the_demo_shows_tools_only_when_live(shows_live, capsys):
    node = best_of_n(live_programs.agent(), n=4)
    result = demo._run(node, "?", 4, Console(width=100), shows_live)
    assert result.selection.winner == 3
    said = capsys.readouterr().out
    assert ("rollout 3  tool look_up_price" in said) == shows_live
    assert "rollout 1" in said
    assert "failed: ValueError: down [bold]" in said


def test_our_errors_pass_through_the_view(capsys):
    with pytest.raises(EcAgentError, match="rollouts failed"):
        watch("live_programs:failing_agent", "?", 1)
    assert "rollout 0  failed: ValueError" in capsys.readouterr().err
