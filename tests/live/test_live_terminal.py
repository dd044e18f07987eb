"""The view on a real terminal, a small and a large one, one that changes its size, and on none at all."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import live_events as made
import pytest
from pty_screen import ROOT, Terminal
from rich.console import Console

from ec_agent import ConfigError, live
from ec_agent.live.bars import BARS
from ec_agent.live.terminal import drawable, showing
from ec_agent.support.extras import installing

REPLAY = str(Path(__file__).with_name("replay.py"))
TOOLS = [
    each
    for index in range(8)
    for each in (
        made.started(index, 8),
        made.answered(index, 1, 40, [0.2, 0.8, None, 0.4], 40),
        made.tool(index, name="look_up_price"),
    )
]
END = [made.finished(index, made.NASTY if index == 1 else None) for index in range(8)]
END += [made.scored(0, 0.25), made.selection(0, 8)]


def test_without_rich_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.delitem(vars(live), "view", raising=False)
    with pytest.raises(ConfigError, match=re.escape(f"the live view needs rich; run: {installing('ec-agent[cli]')}")):
        live.view()
    assert live.Board()


@pytest.fixture
def play(tmp_path):
    """Write the script; the command that plays it."""

    def write(*steps):
        (tmp_path / "script").write_text("\n".join(map(json.dumps, steps)))
        return [sys.executable, REPLAY, str(tmp_path / "script")]

    write.sign = lambda name: (tmp_path / name).touch()
    return write


def rows_in(display):
    return [line for line in display if line.strip()[:1].isdigit() and "/" not in line.split()[0]]


def assert_whole(terminal, state):
    """The display is one drawing and nothing else, each rollout on a line of its own."""
    lines = [line for line in terminal.display if line]
    assert lines[0].split()[:2] == ["#", "state"], terminal.text
    rows = rows_in(lines)
    assert [row.split()[:2] for row in rows] == [[str(index), state] for index in range(8)], terminal.text
    assert len(lines) == 11, terminal.text  # header, rows, summary, legend
    assert all(len(line) < terminal.screen.columns for line in lines)


def test_it_follows_the_size_of_the_terminal(play):
    """Wide, narrow, flat, wide again: never a broken line, whatever was there before."""
    with Terminal(play({"print": "before"}, *TOOLS, {"wait": "go"}, *END), 160, 24) as terminal:
        terminal.until(lambda: len(rows_in(terminal.display)) == 8 and "look_up_price" in terminal.text)
        assert "before" in terminal.text
        for columns, lines in ((80, 24), (40, 24), (40, 16), (25, 20), (160, 24)):
            terminal.resize(columns, lines)
            header = "now" if columns > 25 else "state"
            terminal.until(lambda header=header: header in terminal.display[0] and "8 running" in terminal.text, 10.0)
            terminal.read(0.3)
            assert_whole(terminal, "tool")
            assert ("look" in terminal.text) == (columns >= 25)
        play.sign("go")
        assert terminal.finish() == 0
        text = terminal.text
    assert "chosen by lowest_centroid: rollout 0 of 8, centroid 0.500, margin to the runner-up 0.100" in text
    assert "down [bold]?[31m and ?out" in text
    assert text.rstrip().endswith("done")
    assert b"\x1b[?25h" in terminal.raw.rpartition(b"\x1b[?25l")[2]  # the cursor is back


def test_what_is_printed_meanwhile_stays_above(play):
    steps = [*TOOLS, *({"print": f"said {i}"} for i in range(30)), {"wait": "go"}, *END]
    with Terminal(play(*steps), 80, 16) as terminal:
        terminal.until(lambda: "said 29" in terminal.everything and "8 running" in terminal.text)
        play.sign("go")
        assert terminal.finish() == 0
        everything = terminal.everything.splitlines()
    assert [line for line in everything if line.startswith("said")] == [f"said {i}" for i in range(30)]
    assert sum(line.split()[:2] == ["#", "state"] for line in everything) == 1
    assert len(rows_in(everything)) == 8


def test_ctrl_c_leaves_the_last_state_and_the_terminal_in_order(play):
    with Terminal(play(*TOOLS, {"wait": "never"}), 80, 24) as terminal:
        terminal.until(lambda: len(rows_in(terminal.display)) == 8)
        terminal.interrupt()
        assert terminal.finish() == 130
        lines = [line for line in terminal.display if line]
        assert b"\x1b[?25h" in terminal.raw.rpartition(b"\x1b[?25l")[2]
    assert len(rows_in(lines)) == 8
    assert sum(line.split()[:2] == ["#", "state"] for line in lines) == 1
    assert lines[-1] == "interrupted"
    assert "Traceback" not in terminal.text


COLOURS = tuple(f"\x1b[{code}m".encode() for code in (31, 32, 33, 34, 36, "1;31", "1;32"))


def test_no_color_draws_without_colours(play):
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Terminal(play(*TOOLS, *END), 80, 24, **environment) as terminal:
            assert terminal.finish() == 0
        assert any(colour in terminal.raw for colour in COLOURS) == coloured
        assert b"\x1b[2K" in terminal.raw
        assert any(each in terminal.text for each in BARS)


def test_a_dumb_terminal_gets_plain_lines(play):
    with Terminal(play(*TOOLS, *END), 80, 60, TERM="dumb") as terminal:
        assert terminal.finish() == 0
    assert b"\x1b" not in terminal.raw
    assert "rollout 7  ended: 1 call, 40 tokens, 2.0 s" in terminal.text


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"PYTHONIOENCODING": "ascii"}], ids=range(3))
def test_a_pipe_gets_plain_lines(play, environment):
    done = subprocess.run(
        play({"print": "hello"}, *TOOLS, *END),
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "hello\ndone\n"
    assert "\x1b" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines[:3] == [
        "rollout 0  started",
        "rollout 0  call 1: 40 tokens, mean entropy 0.47, 0.5 s",
        "rollout 0  tool look_up_price",
    ]
    assert lines[-1].startswith("chosen by lowest_centroid: rollout 0 of 8")
    assert len(lines) == 8 * 4 + 2


def test_an_error_within_shows_as_always(play):
    with Terminal(play(*TOOLS, {"raise": "it breaks"}), 100, 40) as terminal:
        assert terminal.finish() == 1
    assert "RuntimeError: it breaks" in terminal.text
    assert len(rows_in(terminal.display)) == 8


def test_a_reader_that_leaves_does_not_cost_the_run():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with live.view(file=Gone()) as on_event:
        for event in made.whole(2):
            on_event(event)
    closed = io.StringIO()
    closed.close()
    assert not drawable(Console(file=closed))
    with live.view(file=closed) as on_event:
        on_event(made.started(0, 1))


def test_what_is_not_ours_is_passed_over():
    out = io.StringIO()
    with live.view(file=out) as on_event:
        for part in (None, "text", {"type": "mine"}, ("custom", {}), made.started(0, 1)):
            on_event(part)
        on_event(made.event("selection", selection={}))
    assert out.getvalue() == "rollout 0  started\n"


def test_what_else_is_said_is_neither_wrapped_nor_styled(capsys):
    with showing(Console(file=sys.stdout, width=20)) as shown:
        shown.hear(made.started(0, 1))
        shown.say("[yellow]note[/yellow]  a long line that is not wrapped, with \\[brackets]")
    assert "note  a long line that is not wrapped, with [brackets]\n" in capsys.readouterr().out
