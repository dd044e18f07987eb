"""A log that cannot be written, and a view of a terminal that is gone, end no run and lose no answer."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import warnings
from pathlib import Path

import live_events as made
import pytest
from langchain.agents import create_agent

from ec_agent import ProgressWarning, best_of_n, live
from ec_agent.testing import Reply, ScriptedChatModel

HALF = "x\ud83dy"
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full here")


def node():
    scripts = [[Reply("a", entropies=[2.0, 0.1, 0.1])], [Reply("b", entropies=[0.1, 0.1, 2.0])]]
    return best_of_n(create_agent(ScriptedChatModel(scripts, model_name=HALF), []), n=2)


@pytest.fixture(params=["run", "arun"])
def run(request):
    def run(on_event):
        asked = {"messages": "q"}
        if request.param == "run":
            return node().run(asked, on_event=on_event)
        return asyncio.run(node().arun(asked, on_event=on_event))

    return run


def logged(path, run):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with live.log(path) as on_event:
            result = run(on_event)
    return result, [str(each.message) for each in told if each.category is ProgressWarning]


@needs_full
def test_a_log_on_a_full_disk_is_one_warning(run):
    result, told = logged(FULL, run)
    assert result.output["messages"][-1].text == "a"
    assert len(told) == 1
    assert "/dev/full cannot be written" in told[0]


def test_a_disk_that_fills_in_the_middle(run, tmp_path, monkeypatch):
    path, real = tmp_path / "events", open

    class Filling(io.TextIOWrapper):
        lines = 0

        def flush(self):
            Filling.lines += 1
            if Filling.lines > 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().flush()

    monkeypatch.setattr(
        "builtins.open",
        lambda file, mode="r", **more: Filling(real(file, "ab")) if file == path else real(file, mode, **more),
    )
    result, told = logged(path, run)
    assert result.output["messages"][-1].text == "a"
    assert len(told) == 1
    assert len([json.loads(line) for line in path.read_text().splitlines()[:3]]) == 3


def test_a_log_whose_folder_goes_and_whose_model_has_half_a_name(run, tmp_path):
    path = tmp_path / "events"
    result, told = logged(path, run)
    assert told == []
    models = {event.get("model") for event in map(json.loads, path.read_text().splitlines())}
    assert HALF in models
    assert result.selection.winner == 0


@needs_full
def test_told_by_hand_it_does_not_raise_either():
    def run(on_event):
        for event in made.whole(3):
            on_event(event)

    _, told = logged(FULL, run)
    assert len(told) == 1


class Gone(io.StringIO):
    """A terminal whose other end was closed."""

    encoding = "utf-8"

    def __init__(self, after):
        super().__init__()
        self.left = after

    def isatty(self):
        return True

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_terminal_that_is_gone_costs_no_answer(run, after, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    with live.view(file=Gone(after)) as on_event:
        result = run(on_event)
    assert result.output["messages"][-1].text == "a"
