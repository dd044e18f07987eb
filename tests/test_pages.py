"""The Python of the pages for users runs as it stands, a page from top to bottom, against an endpoint that answers."""

from __future__ import annotations

import itertools
import re
import sys
import types
from pathlib import Path

import fake_openai
import pytest
from langchain_core.messages import HumanMessage

from ec_agent.rollouts.options import Options

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


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
def run(monkeypatch):
    """Run blocks in a module of their own, for hints are looked up in the module of their class."""

    def run(page, code=None, **given):
        module = types.ModuleType("a_page")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        vars(module).update(given)
        for block in code or blocks(page):
            exec(compile(block, page, "exec"), vars(module))
        return vars(module)

    return run


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


def test_choosing_runs(run, endpoint):
    from langchain_openai import ChatOpenAI

    from ec_agent import best_of_n

    model = ChatOpenAI(model="any", logprobs=True, top_logprobs=20)

    def agent(state):
        return {"messages": [model.invoke(state["messages"])]}

    names = run("docs/choosing.md", agent=agent)
    result = best_of_n(agent, n=2, selector=names["FewestTokens"]()).run({"messages": [("user", "?")]})
    assert result.selection.selector == "fewest_tokens"


def test_doctor_runs(run, endpoint):
    (block,) = blocks("docs/doctor.md")
    names = run("docs/doctor.md", [block.replace("http://127.0.0.1:8080/v1", endpoint.url)])
    result = names["better"].run({"messages": [("user", "?")]})
    assert {candidate.coverage for candidate in result.selection.candidates} == {names["way"].coverage} == {1.0}


def test_every_selector_is_on_the_page():
    from ec_agent.selectors import SELECTORS

    page = (ROOT / "docs/choosing.md").read_text(encoding="utf-8")
    assert not {kind.__name__ for kind in SELECTORS.values() if f"`{kind.__name__}`" not in page}


async def test_agents_of_other_frameworks_run(run, endpoint):
    for block in blocks("docs/frameworks.md"):
        names = run("docs/frameworks.md", [block])
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


def test_speed_runs(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run("docs/speed.md")
    printed = capsys.readouterr().out.split("\n")
    assert printed[:2] == ["(100, 27)", "(100, 1)"]
    assert float(printed[2]) == names["score_many"](names["timelines"], [names["HEPConfig"](1, 80, 2)])[0, 0]
    assert (tmp_path / "runs.npz").exists()
