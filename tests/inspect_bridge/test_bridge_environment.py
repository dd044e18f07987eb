"""Inspect AI needs an environment of its own; `make test` builds it, and this runs the bridge's tests in it."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from ec_agent.errors import ConfigError
from ec_agent.support.extras import installing

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / os.environ.get("INSPECT_VENV", ".venv-inspect") / "bin" / "python"


def test_the_bridge_in_its_own_environment(request):
    assert PYTHON.exists(), f"there is no {PYTHON}; `make test` builds it, and so does `make .venv-inspect/.dev`"
    form = request.config.getoption("--form")
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--form={form}", "tests/inspect_bridge"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    told = done.stdout.strip().splitlines()[-1]
    passed = re.search(r"(\d+) passed", told)
    assert passed, told
    assert int(passed[1]) >= len(list(Path(__file__).parent.glob("test_*.py"))) - 1
    assert "skipped" not in told, told


def test_without_inspect_the_import_says_what_to_install():
    with pytest.raises(ConfigError, match=re.escape(f"run: {installing('ec-agent[inspect]')}")):
        importlib.import_module("ec_agent.evaluation.inspect_ai")
