"""What docs/evaluation.md shows of the bridge works as it stands there."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import shlex
import sys
import types
from pathlib import Path

import inspect_ai
from bridge_kit import agent
from inspect_ai.log import read_eval_log

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
PYTHON = [block for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if "inspect_ai" in block]
COMMANDS = re.findall(r"^inspect eval .*$", PAGE, flags=re.MULTILINE)


def test_the_tasks_of_the_page(tmp_path, monkeypatch):
    mine = types.ModuleType("my_module")
    mine.graph = agent
    monkeypatch.setitem(sys.modules, "my_module", mine)
    (tmp_path / "shown.py").write_text(PYTHON[0])
    monkeypatch.chdir(tmp_path)
    logs = inspect_ai.eval("shown.py", model="none/none", log_dir=str(tmp_path), display="none")
    assert [log.status for log in logs] == ["success", "success"]
    for log in (read_eval_log(log.location) for log in logs):
        reducers = {"mean", "ec_agent/lowest_centroid", "ec_agent/mean_entropy", "ec_agent/majority_vote"}
        assert log.eval.model == "none/none"
        if log.eval.task == "one_rollout_an_epoch":
            assert {score.reducer for score in log.results.scores if score.name == "match"} == reducers
            assert len(log.samples) == 16
        else:
            assert ["ec_agent:receipt" in sample.store for sample in log.samples] == [True, True]


def test_a_task_that_somebody_else_wrote_is_run_as_the_page_says(tmp_path, monkeypatch):
    mine = types.ModuleType("my_module")
    mine.graph = agent
    monkeypatch.setitem(sys.modules, "my_module", mine)
    names = {}
    for block in PYTHON:
        exec(compile(block, "docs/evaluation.md", "exec"), names)
    (log,) = inspect_ai.eval(names["theirs"], model="none/none", log_dir=str(tmp_path), display="none")
    assert log.status == "success"
    assert {score.reducer for score in log.results.scores if score.name == "match"} == {"ec_agent/lowest_centroid"}


def test_the_commands_of_the_page(tmp_path, monkeypatch, capsys):
    """In this process, for Inspect takes seconds to import."""
    (tmp_path / "my_task.py").write_text(PYTHON[0])
    (tmp_path / "my_module.py").write_text("from bridge_kit import agent as graph\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    (program,) = importlib.metadata.entry_points(group="console_scripts", name="inspect")
    assert len(COMMANDS) == 2
    for number, command in enumerate(COMMANDS):
        monkeypatch.setattr(sys, "argv", [*shlex.split(command), "--log-dir", str(tmp_path / f"logs{number}")])
        with contextlib.suppress(SystemExit):
            program.load()()
        (path,) = (tmp_path / f"logs{number}").glob("*.eval")
        assert read_eval_log(str(path)).status == "success", capsys.readouterr()
    sys.modules.pop("my_module")
