"""The README and some pages, followed from top to bottom against an endpoint; others: test_page_walks.py."""

from __future__ import annotations

import itertools
import re
from inspect import cleandoc

import fake_openai
import pytest
from langchain_core.messages import HumanMessage
from pages_kit import ROOT, Walk, blocks_of

from ec_agent.rollouts.options import BestOfNOptions, Options

ENDPOINTS = ("http://localhost:8000/v1", "http://127.0.0.1:8080/v1")


def blocks(page: str) -> list[str]:
    return [block.text for block in blocks_of(page) if block.language == "python"]


@pytest.fixture
def endpoint(monkeypatch):
    numbers = itertools.count()

    def answer(body):  # no two alike, for equal rollouts are warned of
        number = next(numbers)
        return fake_openai.Answer([0.1 + 0.01 * number, 2.0, 0.1, 0.2, 0.1], text=f"answer {number}")

    server = fake_openai.FakeOpenAI(otherwise=answer)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    yield server
    server.close()


@pytest.fixture
def run(endpoint, tmp_path, monkeypatch):
    """Follow a page in a folder of its own, its commands too, with the endpoint in the place of the reader's."""
    monkeypatch.chdir(tmp_path)
    walks = []

    def run(page, only=None, **given):
        walks.append(Walk(page, given, dict.fromkeys(ENDPOINTS, endpoint.url)))
        return walks[-1].follow(only).names

    yield run
    for walk in walks:
        walk.leave()


def test_the_readme_runs(run, endpoint, capsys):
    names = run("README.md")
    said = capsys.readouterr().out
    assert "lowest centroid first" in said
    assert names["graph"].invoke({"messages": [("user", "?")]})["messages"][-1].text.startswith("answer")
    assert 0 < float(said.splitlines()[-1]) <= 1


def test_get_started_runs(run, endpoint, capsys, local_server):
    names = run("docs/get-started.md")
    assert names["server"].base_url in capsys.readouterr().out
    assert names["state"]["receipt"]["candidates"]


def test_doctor_runs(run, endpoint):
    names = run("docs/doctor.md")
    result = names["better"].run({"messages": [("user", "?")]})
    assert {candidate.coverage for candidate in result.selection.candidates} == {names["way"].coverage} == {1.0}


def test_every_selector_is_on_the_page():
    from ec_agent.selectors import SELECTORS

    page = (ROOT / "docs/choosing.md").read_text(encoding="utf-8")
    assert not {kind.__name__ for kind in SELECTORS.values() if f"`{kind.__name__}`" not in page}


async def test_agents_of_other_frameworks_run(run, endpoint):
    for block in blocks("docs/frameworks.md"):
        names = run("docs/frameworks.md", block)
        ran = await names["better"].arun({"messages": [HumanMessage("?")]})
        assert ran.output["messages"][-1][1].startswith("answer"), block
        assert ran.selection.candidates[ran.selection.winner].coverage == 1.0, block


def test_every_option_has_its_row_and_its_default():
    page = (ROOT / "docs/options.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", page, flags=re.MULTILINE))
    import ec_agent

    names = {name: getattr(ec_agent, name) for name in ec_agent.__all__}
    assert {name: eval(default, names) for name, default in rows.items()} == {
        name: getattr(Options(), name) for name in Options.__slots__
    }


def test_options_are_in_one_order_wherever_they_are_listed():
    page = (ROOT / "docs/options.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `", page, flags=re.MULTILINE)
    said = re.findall(r"^ {4}(\w+): ", cleandoc(BestOfNOptions.__doc__), flags=re.MULTILINE)
    assert rows == list(Options.__slots__) == ["n", *BestOfNOptions.__annotations__] == ["n", *said]


def test_contributing_runs(run):
    run("docs/contributing.md")


def test_speed_runs(run, tmp_path, capsys):
    names = run("docs/speed.md")
    printed = capsys.readouterr().out.split("\n")
    assert printed[:2] == ["(100, 27)", "(100, 1)"]
    assert float(printed[2]) == names["score_many"](names["timelines"], [names["HEPConfig"](1, 80, 2)])[0, 0]
    assert (tmp_path / "runs.npz").exists()
    assert (tmp_path / "runs.sweep.npy").exists()
