"""Packages that are too old: one clear error at the import, instead of one from deep within."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ec_agent.errors import ConfigError
from ec_agent.support import versions

ROOT = Path(__file__).parents[1]


@pytest.fixture
def installed(tmp_path):
    """A function that puts packages of given versions before the real ones: empty ones, as old as they are."""

    def install(**packages):
        for name, version in packages.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").touch()
            info = tmp_path / f"{name}-{version}.dist-info"
            info.mkdir()
            said = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
            (info / "METADATA").write_text(said, encoding="utf-8")
        return tmp_path

    return install


def run(place, code):
    paths = os.pathsep.join([str(place), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )


IMPORTS = [
    "from ec_agent import best_of_n",
    "import ec_agent; ec_agent.Writes",
    "from ec_agent.rollouts.best_of_n import best_of_n",
    "from ec_agent.commits.declared_tools import read_only",
    "from ec_agent import record_calls",
    "from ec_agent.evaluation import evaluate",
]


@pytest.mark.parametrize("code", IMPORTS)
def test_the_import_says_what_is_needed(installed, code):
    done = run(installed(langgraph="0.6.7", langchain_core="1.6.9"), code)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ec_agent.errors.ConfigError: ec_agent needs langgraph 1.2.18 or newer, langchain-core 1.7 or newer; "
        "installed is langgraph 0.6.7, langchain-core 1.6.9. Run: pip install --upgrade 'langgraph>=1.2.18,<2' "
        "'langchain-core>=1.7,<2'"
    )
    assert "ImportError" not in done.stderr


@pytest.mark.parametrize("code", ["from ec_agent import best_of_n", "from ec_agent import Recorder"])
def test_an_old_openai_is_no_surprise_at_the_first_call(installed, code):
    done = run(installed(openai="1.99.0"), code)
    assert "needs openai 3.50 or newer; installed is openai 1.99.0. Run: pip install --upgrade" in done.stderr


def test_the_numbers_do_not_mind(installed):
    code = (
        "import ec_agent; ec_agent.__version__; dir(ec_agent)\nfrom ec_agent import entropy_centroid, CentroidEvaluator"
    )
    assert run(installed(langgraph="0.6.7", langchain_core="0.3.0", openai="0.28"), code).returncode == 0


def test_the_command_line_says_it_without_a_traceback(installed):
    place = installed(langgraph="0.6.7")
    (place / "x.db").touch()
    said = ["ec-agent", "calibrate", str(place / "x.db")]
    done = run(place, f"import sys; sys.argv = {said!r}; from ec_agent.cli import main; main()")
    assert done.returncode == 1
    assert done.stderr.startswith("ec-agent: ec_agent needs langgraph 1.2.18 or newer")


def test_it_needs_what_the_package_asks_for():
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {f"{package}{version}" for package, version in versions.NEEDED.items()} <= set(said)


@pytest.fixture
def found(monkeypatch):
    """A function that says which versions are installed."""

    def install(**packages):
        monkeypatch.setattr(versions, "_installed", lambda package: packages.get(package.replace("-", "_")))
        versions.refuse_old.cache_clear()

    yield install
    versions.refuse_old.cache_clear()


@pytest.mark.parametrize(
    "version",
    ["1.2.18", "1.2.18.0", "1.3", "1.10.3", "1.2.18rc1", "v1.2.19", "2.0.0", "1!1.2.18", "1.2.18+local", None],
)
def test_new_enough(found, version):
    found(langgraph=version)
    versions.refuse_old()


@pytest.mark.parametrize("version", ["1.2.17", "1.2", "1.1.99", "1", "1.0.0", "0.9", "0.6.0.dev3", "1.1.0+local"])
def test_too_old(found, version):
    found(langgraph=version, openai="3.50.1")
    with pytest.raises(ConfigError, match=f"installed is langgraph {version.split('+')[0]}"):
        versions.refuse_old()
