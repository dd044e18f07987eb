"""What to run for a missing extra works where this package came from: an index, a clone, a wheel, a repository."""

from __future__ import annotations

import importlib.metadata
import json
import shlex

import pytest

from ec_agent.errors import ConfigError
from ec_agent.support.extras import installing
from ec_agent.support.lazy import needed


@pytest.fixture
def came(monkeypatch):
    """A function that says what pip noted at the installation; a text is taken as it is."""

    class Noted:
        def __init__(self, text):
            self.text = text

        def read_text(self, name):
            assert name == "direct_url.json"
            return self.text

    def note(noted):
        text = noted if noted is None or isinstance(noted, str) else json.dumps(noted)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name: {"ec-agent": Noted(text)}[name])

    return note


@pytest.mark.parametrize("noted", [None, "", "{}", "[]", "{damaged", {"url": ""}])
def test_from_an_index(came, noted):
    came(noted)
    assert installing("ec-agent[eval]") == "pip install 'ec-agent[eval]'"


def test_without_any_installation(monkeypatch):
    def none(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", none)
    assert installing("ec-agent[eval]") == "pip install 'ec-agent[eval]'"


@pytest.mark.parametrize("folder", ["clone", "a folder", "it's", "größe"])
@pytest.mark.parametrize(("editable", "option"), [(True, ["-e"]), (False, [])])
def test_from_a_clone(came, tmp_path, folder, editable, option):
    place = tmp_path / folder
    place.mkdir()
    came({"url": place.as_uri(), "dir_info": {"editable": editable} if editable else {}})
    assert shlex.split(installing("ec-agent[html]")) == ["pip", "install", *option, f"{place}[html]"]


def test_from_a_clone_that_is_gone(came, tmp_path):
    came({"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    assert installing("ec-agent[html]") == "pip install '.[html]' in a clone of its repository"


def test_from_a_wheel(came, tmp_path):
    wheel = tmp_path / "ec_agent-0.1.0-py3-none-any.whl"
    wheel.touch()
    came({"url": wheel.as_uri(), "archive_info": {}})
    assert installing("ec-agent[cli,html]") == f"pip install '{wheel}[cli,html]'"


@pytest.mark.parametrize(
    ("noted", "url"),
    [
        ({"url": "https://a.test/b.git", "vcs_info": {"vcs": "git", "commit_id": "1"}}, "git+https://a.test/b.git"),
        ({"url": "file:///srv/b.git", "vcs_info": {"vcs": "git", "commit_id": "1"}}, "git+file:///srv/b.git"),
        ({"url": "https://a.test/x.whl", "archive_info": {}}, "https://a.test/x.whl"),
    ],
)
def test_from_a_repository_or_an_address(came, noted, url):
    came(noted)
    assert installing("ec-agent[ray]") == f"pip install 'ec-agent[ray] @ {url}'"


def test_other_packages_are_named_as_they_are(came, tmp_path):
    came({"url": tmp_path.as_uri(), "dir_info": {}})
    assert installing("openai") == "pip install openai"
    assert installing("ray[data]>=2") == "pip install 'ray[data]>=2'"


def test_an_error_says_it(came, tmp_path):
    came({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    with pytest.raises(ConfigError) as raised:
        needed("no_such_package.part", "the figures need", "ec-agent[html]")
    assert str(raised.value) == f"the figures need no_such_package; run: pip install -e '{tmp_path}[html]'"
