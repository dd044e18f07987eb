"""Whoever follows a page from its top to its bottom gets through: its Python runs, and its commands, in their order.

The README and four pages are walked in ``test_pages.py``. ``NOT_WALKED`` has the commands left out, with the reasons.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from pages_kit import INSPECT, NOT_WALKED, PAGES, Walk, blocks_of, commands_in, form

from ec_agent import TraceStore, best_of_n, commit_tool
from ec_agent.cli.app import app
from ec_agent.evaluation import BaseTask, RunSettings, evaluate, load_results
from ec_agent.testing import Reply, ScriptedChatModel

pytestmark = pytest.mark.filterwarnings("ignore::ec_agent.errors.IdenticalRolloutsWarning")

# The pages call it my_module: an agent whose model follows a script, and a graph with best_of_n in it.
MY_MODULE = """
import itertools

from langchain.agents import create_agent
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import best_of_n
from ec_agent.testing import Reply, ScriptedChatModel

answers = itertools.count(1)


def script(messages, index):
    answer = next(answers)
    asked = str(messages[-1].content)
    right = "391" if "17 * 23" in asked else "Canberra, I think" if "Australia" in asked else "2.31"
    entropies = [0.1 + 0.1 * ((answer * 7 + place * place) % 11) for place in range(12)]
    return Reply(right if answer % 3 else f"not {answer}", entropies=entropies)


agent = create_agent(ScriptedChatModel(script), tools=[])
around = StateGraph(MessagesState).add_node("solve", best_of_n(agent, n=2)).add_edge(START, "solve").compile()
graph = AGENT
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder that the reader is in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    mine(tmp_path)
    yield tmp_path
    for name in ("my_module", "my_checks"):
        sys.modules.pop(name, None)


def mine(home, agent="agent"):
    (home / "my_module.py").write_text(MY_MODULE.replace("AGENT", agent))


@pytest.fixture
def walk():
    walks = []

    def walk(page, **given):
        walks.append(Walk(page, **given))
        return walks[-1].follow()

    yield walk
    for each in walks:
        each.leave()


def tasks_of_the_page(home):
    """The tasks that docs/evaluation.md shows, in a file, with the function that it shows for one of them."""
    (lines,) = [block.text for block in blocks_of("docs/evaluation.md") if block.language == "json"]
    (home / "tasks.jsonl").write_text(lines)
    (check,) = [block.text for block in blocks_of("docs/evaluation.md") if "def syllables" in block.text]
    (home / "my_checks.py").write_text(check)
    return [json.loads(line)["id"] for line in lines.splitlines()]


class Sum(BaseTask):
    expected = "391"

    def verdict(self, outcome):
        return outcome.final_action.text == self.expected


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The file of a finished evaluation: six tasks, of which one is called sum."""
    path = tmp_path_factory.mktemp("evaluated") / "run.db"
    answers = itertools.count()

    def script(messages, index):
        answer = next(answers)
        return Reply(f"{391 + answer % 2}", entropies=[0.1, 0.2 + 0.1 * (answer % 7), 0.1])

    tasks = [Sum(name, "What is 17 * 23?") for name in ("sum", "again", "third", "fourth", "fifth", "sixth")]
    evaluate(tasks, create_agent(ScriptedChatModel(script), []), path, RunSettings(n=3))
    return path


@pytest.mark.whole_form("a walk of its own over seconds; other pages are walked in the short form")
def test_evaluation(home, walk):
    tasks = tasks_of_the_page(home)
    walked = walk("docs/evaluation.md")
    results = load_results("runs/tasks-my_module-graph.db")
    assert [result.task for result in results] == tasks
    solved = {result.task: bool(result.correct.sum()) for result in results}
    assert solved == {"sum": True, "capital": True, "weight": True, "order": False, "essay": False}
    (rows,) = [printed for command, printed in walked.printed.items() if command.startswith("sqlite3")]
    assert len(rows.splitlines()) == len(tasks) * 9
    result = walked.names["better"].run({"messages": [("user", "What is 17 * 23?")]})
    assert len(result.selection.candidates) == 8
    the_tasks_with_a_world_are_judged_in_it(walked.names, home / "worlds.db")


def the_tasks_with_a_world_are_judged_in_it(names, path):
    """The page has the tasks and their tool; ``ec-agent eval`` would find them in a module."""

    def script(messages, index):
        if messages[-1].type == "tool":
            return Reply("done", entropies=[0.1])
        return Reply(tool_calls=[("ship", {"parcel": "mug"})], entropies=[1.0])

    agent = create_agent(ScriptedChatModel(script), [names["ship"]])
    evaluate(names["tasks"](), agent, path, RunSettings(n=2, greedy=False))
    one, two = load_results(path)
    assert (one.correct.tolist(), two.correct.tolist()) == ([1.0, 1.0], [0.0, 0.0])


def test_choosing(home, walk, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    tasks_of_the_page(home)
    names = walk("docs/choosing.md").names
    result = best_of_n(names["agent"], n=2, selector=names["FewestTokens"]()).run({"messages": [("user", "?")]})
    assert result.selection.selector == "fewest_tokens"


def test_stopping(home, walk, evaluated, capsys):
    (home / "runs").mkdir()
    shutil.copy(evaluated, home / "runs" / "tasks-my_module-graph.db")
    names = walk("docs/stopping.md").names
    assert "(4" in capsys.readouterr().out  # the first wave of the first question
    assert names["row"].plan == "LastTwo"


@pytest.mark.whole_form("a walk of its own over seconds; other pages are walked in the short form")
def test_live(home, walk):
    tasks_of_the_page(home)
    mine(home, "around")
    walked = walk("docs/live.md")
    assert len(walked.names["result"].selection.candidates) == 8
    assert any("chosen by lowest_centroid" in printed for printed in walked.printed.values())


def test_pictures(home, walk, evaluated):
    Path("runs").mkdir()
    shutil.copy(evaluated, "runs/mine.db")
    mine(home, "around")
    walk("docs/pictures.md", instead={"ID": "sum"})
    for name in ("report.html", "task.html", "selection.html", "selections.html"):
        assert "What is 17 * 23?" in Path(name).read_text(encoding="utf-8") or name.startswith("selection"), name


def test_results(home, walk, evaluated):
    shutil.copy(evaluated, "bfcl.db")
    walked = walk("docs/results.md")
    assert "lowest_centroid" in walked.printed["ec-agent report bfcl.db"]


def test_traces(home, walk):
    mine(home, "around")
    for name, keys in {
        "batch_output.jsonl": [{"custom_id": f"q{task}-{rollout}"} for task in (17, 18) for rollout in range(2)],
        "calls.jsonl": [{"question": task, "session_id": place} for task in "ab" for place in (0, 0, 1)],
    }.items():
        records = [{**key, "entropies": [0.1, 2.0, 0.1, 0.1]} for key in keys]
        (home / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    walked = walk("docs/traces.md", answers="y\n")
    for command, winners in (("batch_output", ["q17-0", "q18-0"]), ("calls", ["1 of a a", "1 of b b"])):
        (printed,) = (text for said, text in walked.printed.items() if said.startswith(f"ec-agent score {command}"))
        assert [" ".join(line.split()) for line in printed.splitlines() if "*" in line] == [
            f"* {winner} 1 4 100% 1 0.3750 0.6250" for winner in winners
        ]
    assert [kept.name for kept in TraceStore("traces.db").selections()] == ["question 7", "question 7"]
    assert len(walked.names["chosen"]) == 2  # polars' table, which the page makes last
    assert walked.names["by_call"]["size"].to_list() == [12] * 10


def test_tracing(home, walk, capsys):
    from ec_agent.tracing import uninstrument

    try:
        walk("docs/tracing.md")
    finally:
        uninstrument()


def test_transport(home, walk, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    names = walk("docs/transport.md").names
    assert names["model"].http_client is not None


@pytest.fixture
def uncertain(home):
    """A file of checkpoints with two threads whose card was perhaps charged: the process died in the tool."""
    told = {"dies": True, "charged": []}

    @commit_tool
    @tool
    def charge_card(sum: str) -> str:
        """Charge the card."""
        if told["dies"]:
            raise KeyboardInterrupt
        told["charged"].append(sum)
        return "charged"

    def script(messages, index):
        if messages[-1].type == "tool":
            return Reply(f"paid {index}", entropies=[0.1] * 4)
        return Reply(
            f"{index}", [("charge_card", {"sum": "1"})], entropies=[2.0 if p == index else 0.1 for p in range(4)]
        )

    agent = create_agent(ScriptedChatModel(script), [charge_card])
    node = best_of_n(agent, n=2, on_commit="execute", continue_after_commit=True)
    told["builder"] = StateGraph(MessagesState).add_node("solve", node).add_edge(START, "solve")
    with SqliteSaver.from_conn_string("checkpoints.sqlite") as saver:
        for customer in ("customer 6", "customer 7"):
            graph = told["builder"].compile(checkpointer=saver)
            with pytest.raises(KeyboardInterrupt):
                graph.invoke({"messages": [("user", "pay")]}, {"configurable": {"thread_id": customer}})
    told["dies"] = False
    return told


def test_safety(home, walk, uncertain, capsys):
    sys.modules["my_module"] = module = type(sys)("my_module")
    vars(module).update(agent=create_agent(ScriptedChatModel([[Reply("x")]])), builder=uncertain["builder"])
    (home / "shop.db").touch()
    shown = next(block for block in blocks_of("docs/safety.md") if block.language == "console")
    listed = CliRunner().invoke(app, ["commits", "ls", "checkpoints.sqlite", "--json"]).stdout
    key = next(row["key"] for row in map(json.loads, listed.splitlines()) if row["thread"] == "customer 7")
    walked = walk("docs/safety.md", instead={"6aba34e8": key})
    said = capsys.readouterr().out
    assert "charge_card" in said  # the action that was settled as done
    assert uncertain["charged"] == []
    ls, settle = (walked.printed[command] for command in commands_in(shown))
    expected = [line for line in shown.text.splitlines() if not line.startswith("$ ")]
    assert [form_of_key(line) for line in expected] == [form_of_key(line) for line in ls.splitlines()[: len(expected)]]
    assert settle


def form_of_key(line):
    """A line's form, where a key stands for every key."""
    return "KEY" if len(line.split("-")) == 5 and " " not in line else form(line)


WALKED = {
    **{
        f"docs/{name}.md": name
        for name in ("choosing", "evaluation", "live", "pictures", "results", "stopping", "traces", "tracing")
    },
    **{f"docs/{name}.md": name for name in ("transport", "safety")},
}
IN_PAGES = {  # the tests of test_pages.py
    "README.md": "test_the_readme_runs",
    "docs/get-started.md": "test_get_started_runs",
    "docs/doctor.md": "test_doctor_runs",
    "docs/frameworks.md": "test_agents_of_other_frameworks_run",
    "docs/speed.md": "test_speed_runs",
    "docs/contributing.md": "test_contributing_runs",
}
# Made of a table whose every row is run: tests/providers/test_matrix.py and test_rows.py.
ROWS = {"docs/providers.md"}
# Its scripts run for every index of their arrays: tests/evaluation/test_scale_page.py.
ARRAYS = {"docs/scale.md"}
# Its commands run on made files of data sets: tests/evaluation/test_paper_page.py.
MADE = {"docs/paper.md"}


def test_every_page_with_something_to_run_is_walked():
    import test_pages

    runs = {page for page in PAGES if any(block.language not in ("", "text") for block in blocks_of(page))}
    assert runs == WALKED.keys() | IN_PAGES.keys() | ROWS | ARRAYS | MADE
    assert all(f"test_{name}" in globals() for name in WALKED.values())
    assert all(hasattr(test_pages, name) for name in IN_PAGES.values())


def test_what_is_left_out_is_still_on_a_page():
    shown = {command for page in PAGES for block in blocks_of(page) for command in commands_of(block)}
    assert set(NOT_WALKED) - shown == set()


def commands_of(block):
    return commands_in(block) if block.language in ("bash", "console") else []


def test_only_the_page_on_evaluation_has_python_for_inspect():
    pages = {page for page in PAGES for block in blocks_of(page) if INSPECT.search(block.text)}
    assert pages == {"docs/evaluation.md"}
