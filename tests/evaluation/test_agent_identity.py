"""What tells an agent from one that was changed under its name."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest
from langchain_core.messages import AIMessage

from ec_agent.errors import TraceError
from ec_agent.evaluation.agent_identity import about_agent, code_of, differences
from ec_agent.evaluation.model import ModelSettings
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import evaluate
from ec_agent.evaluation.tasks import BaseTask
from ec_agent.traces.sql.store import TraceStore

FILES = {
    "id_agent.py": "import json\nfrom id_pack.prompts import PROMPT\ndef late():\n    import id_late.x, id_broken",
    "id_pack/__init__.py": "",
    "id_pack/prompts.py": "from . import words\nfrom .deep.down import X\nPROMPT = words.W",
    "id_pack/words.py": "W = 1",
    "id_pack/deep/__init__.py": "",
    "id_pack/deep/down.py": "from ..words import W as X",
    "id_late.py": "raise SystemExit",
    "id_broken.py": "this is no Python",
    "id_other.py": "nobody imports me",
    "site-packages/id_installed.py": "",
}
SEEN = {*FILES} - {"id_other.py", "site-packages/id_installed.py"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("EC_AGENT_MODEL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    import_module("id_agent")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("id_")]:
        del sys.modules[name]


def test_the_files_are_those_that_the_module_imports_from_beside_it(home):
    before = code_of("id_agent")
    assert set(before) == SEEN
    assert code_of("id_agent") == before
    (home / "id_other.py").write_text("2")
    assert code_of("id_agent") == before
    (home / "id_pack/words.py").write_text("W = 2")
    after = code_of("id_agent")
    assert [name for name in after if after[name] != before[name]] == ["id_pack/words.py"]


def test_a_module_within_a_package_is_told_by_the_whole_path(home):
    assert set(code_of("id_pack.prompts")) == {name for name in SEEN if name.startswith("id_pack/")}


def test_what_is_installed_or_has_no_source_is_not_looked_into(home):
    assert code_of("math") == {}
    assert code_of("id_nowhere") == {}
    assert all(name.startswith("click/") for name in code_of("click"))
    assert "click/core.py" in code_of("click")


def test_the_model_of_the_environment_is_part_of_it_and_the_key_never_is(home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("EC_AGENT_MODEL", "small")
    about = about_agent("id_agent:late")
    assert about["EC_AGENT_MODEL"] == "small"
    assert about.keys() == {"EC_AGENT_MODEL", *(f"file {name}" for name in SEEN)}
    named = about_agent("id_agent:late", ModelSettings(name="big", base_url="http://x/v1", arguments={"top_p": 0.9}))
    assert {key: value for key, value in named.items() if not key.startswith("file ")} == {
        "model": "big",
        "base_url": "http://x/v1",
        "tools": "native",
        "model argument top_p": 0.9,
    }
    assert "sk-secret" not in repr((about, named))


def test_what_differs_between_two_agents_is_said_in_words():
    there = {"file a.py": "1", "file b.py": "1", "file same.py": "1", "model": "a"}
    here = {"file a.py": "2", "file c.py": "1", "file same.py": "1", "model": "b", "base_url": "u"}
    assert differences(there, here) == [
        "file a.py has changed",
        "file b.py is gone",
        "model was 'a', and is 'b' now",
        "file c.py is new",
        "base_url was not set, and is 'u' now",
    ]
    assert differences(here, here) == []


class Anything(BaseTask):
    def verdict(self, outcome):
        return True


def go(path, **options):
    def agent(state):
        return {"messages": [AIMessage("x")]}

    return evaluate([Anything("t", "?")], agent, path, RunSettings(n=1, greedy=False), **options)


def test_a_file_goes_on_with_the_same_agent_only(tmp_path):
    path = tmp_path / "a.db"
    go(path, agent_about={"file a.py": "1"})
    go(path, agent_about={"file a.py": "1"})
    with pytest.raises(TraceError, match=r"file a\.py has changed[\s\S]*--same-agent"):
        go(path, agent_about={"file a.py": "2"})
    with pytest.raises(TraceError, match=r"file a\.py is gone"):
        go(path)
    with pytest.raises(TraceError, match="agent was 'agent', and is 'other' now"):
        go(path, agent_about={"file a.py": "2"}, agent_name="other")
    for mark in ("2", "2", "3"):
        go(path, agent_about={"file a.py": mark, "model": mark}, same_agent=True)
    with TraceStore(path) as store:
        assert store.settings()["agent_about"] == {"file a.py": "1"}
        assert store.settings()["agent_changes"] == [
            "file a.py has changed",
            "model was not set, and is '2' now",
            "model was not set, and is '3' now",
        ]


def test_a_file_that_was_begun_without_it_does_not_pass_unseen(tmp_path):
    go(tmp_path / "a.db")
    with pytest.raises(TraceError, match=r"file a\.py is new"):
        go(tmp_path / "a.db", agent_about={"file a.py": "1"})
