"""What docs/evaluation.md shows of the bridge works as it stands there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import inspect_ai
from bridge_kit import agent
from inspect_ai.log import read_eval_log

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_the_tasks_of_the_page(tmp_path, monkeypatch):
    mine = types.ModuleType("my_module")
    mine.graph = agent
    monkeypatch.setitem(sys.modules, "my_module", mine)
    shown = next(
        block for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if "with_centroid" in block
    )
    (tmp_path / "shown.py").write_text(shown)
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
