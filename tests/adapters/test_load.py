"""Tasks by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import common, load


def test_no_such_source():
    with pytest.raises(ConfigError, match=r"unknown task source 'gsm8k'; the sources are sums, "):
        load("gsm8k:main")


@pytest.mark.parametrize("limit", [0, -1])
def test_no_task_left(limit):
    with pytest.raises(ConfigError, match="give at least 1"):
        load("sums", limit)


def test_no_such_option():
    with pytest.raises(ConfigError, match="sums has no option 'sead'; leave it out"):
        load("sums", sead=1)


def test_a_package_that_is_not_installed():
    with pytest.raises(ConfigError, match=r"need no_such_package; run: pip install no-such-package==1$"):
        common.package("no_such_package.part", "no-such-package==1")


def test_a_package_that_is_not_whole_says_what_it_lacks(tmp_path, monkeypatch):
    (tmp_path / "half_a_package.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigError, match=r"need half_a_package \(No module named 'no_such_package'\); run: pip install"
    ):
        common.package("half_a_package", "half-a-package==1")


def test_other_sources_are_not_imported():
    code = (
        "import sys; from ec_agent.evaluation.adapters import load; load('sums', 1); "
        "print([m for m in sys.modules if m.startswith(('bfcl', 'ec_agent.evaluation.adapters.bfcl'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
