"""What pages show of an output is what the program prints today: the same lines, whatever their figures."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from pages_kit import PAGES, blocks_of, form

from ec_agent import best_of_n
from ec_agent.cli.app import app
from ec_agent.live import Board
from ec_agent.live.table import Screen
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.tracing import instrument, uninstrument

# How each block of text begins, and what holds it to what is printed: a test here, or that it is a drawing.
TEXTS = {
    "8 rollouts, lowest centroid first": "test_the_table_of_the_readme",
    "$ ec-agent eval parcels.jsonl": "test_what_an_evaluation_prints",
    "800 tasks, 8 rollouts each": "test_what_a_run_on_ones_own_endpoint_says_of_its_costs",
    "#  state    calls  tokens": "test_the_live_view",
    "best_of_n parcel_clerk ": "test_the_spans",
    "your graph     ec_agent": "a drawing",
    "                     N times ": "a drawing",
    "                         shard 1/16 ": "a drawing",
    " driver: what is next, ": "a drawing",
}

MY_MODULE = """
import itertools
from langchain.agents import create_agent
from ec_agent.testing import Reply, ScriptedChatModel

answers = itertools.count()


def script(messages, index):
    return Reply(f"{next(answers) % 3}", entropies=[0.1, 1.0 + next(answers) / 10, 0.1])


graph = create_agent(ScriptedChatModel(script), tools=[])
"""


def shown(beginning):
    """The lines of the block that begins so."""
    (text,) = [
        block.text
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "text" and block.text.startswith(beginning)
    ]
    return text.rstrip().splitlines()


def one_line(text):
    """Text without its breaks into lines, and with every figure made equal."""
    return form(text.replace("\n", " "))


def test_every_block_of_text_is_held_to_what_is_printed():
    texts = [block.text for page in PAGES for block in blocks_of(page) if block.language in ("", "text")]
    begun = [next((known for known in TEXTS if text.startswith(known)), text) for text in texts]
    assert sorted(begun) == sorted(TEXTS)
    assert all(name in globals() for name in TEXTS.values() if name != "a drawing")


def test_the_table_of_the_readme():
    scripts = [
        [Reply(f"{index} pounds", entropies=[2.0 if at == index else 0.1 for at in range(9)])] for index in range(8)
    ]
    agent = ScriptedChatModel(scripts)
    result = best_of_n(lambda state: {"messages": [agent.invoke(state["messages"])]}, n=8).run(
        {"messages": [("user", "How much?")]}
    )
    printed = str(result).splitlines()
    title, names, *rows = shown("8 rollouts")
    assert [title, names.split()] == [printed[0], printed[1].split()]
    width = len(re.findall(r"\S+", names)) - 1  # the last name is two words
    numbers = rows[: rows.index("...")]
    assert all(len(row.removeprefix("*").split()) >= width for row in numbers)
    said = {form(line) for line in printed}
    for line in rows[rows.index("...") + 1 :]:
        # A model that follows a script has no prompt tokens, and caches none.
        assert form(line).replace(" # prompt, # cached,", "") in said, line


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "my_evaluated_module.py").write_text(MY_MODULE)
    tasks = [{"id": name, "input": "?", "expected": "1"} for name in ("mugs", "lamps", "both")]
    (tmp_path / "parcels.jsonl").write_text("\n".join(map(json.dumps, tasks)))

    def run(words):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_what_an_evaluation_prints(run):
    command, *lines = shown("$ ec-agent eval")
    printed = run(
        command.removeprefix("$ ec-agent ").replace("graphs.agent:agent", "my_evaluated_module:graph").split()
    )
    printed = printed.replace("my_evaluated_module-graph", "graphs.agent-agent")
    forms = {form(line) for line in printed.splitlines()}
    assert [line for line in lines if line not in ("", "...") and form(line) not in forms] == []


def test_what_a_run_on_ones_own_endpoint_says_of_its_costs(run):
    printed = run(
        [
            "eval",
            "bfcl:multi_turn",
            "--agent",
            "graphs.eval_agents:make_agent",
            "--n",
            "8",
            "--model",
            "Qwen/Qwen3-14B",
            "--base-url",
            "http://localhost:8000/v1",
            "--limit",
            "2",
            "--dry-run",
        ]
    )
    assert one_line("\n".join(shown("800 tasks"))) in one_line(printed)


def test_the_live_view():
    board, counted = Board(), {"generated": 200, "calls": 1, "tokens": 200, "seconds": 1.0, "answered": True}
    told = [{"type": "rollout.started", "index": index, "n": 8, "round": 0, "acting": False} for index in range(8)]
    call = {"type": "rollout.call", "index": 0, "call": 0, "model": "m", "node": "n"}
    told += [{**call, "state": "started"}, {**call, "state": "ended", "entropies": [0.4] * 32, **counted}]
    told += [{"type": "rollout.finished", "index": 0, "error": None, "seconds": 3.0}]
    for event in told:
        board.hear({**event, "type": f"ec_agent.{event['type']}", "question": "q", "time": 1000.0})
    screen = Screen(board)
    screen.lines(80, 24, 1003.0)  # its scale is that of the rows drawn before
    drawn = [line.plain for line in screen.lines(80, 24, 1004.0)]
    names, *_, tally, legend = shown("#  state")
    assert names.split() == drawn[0].split()
    assert form(tally) in {form(line) for line in drawn}
    assert form(legend) in {form(line) for line in drawn}


def test_the_spans():
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    model = ScriptedChatModel([[Reply("a", entropies=[1.0])], [Reply("b", entropies=[2.0])]])
    instrument(provider)
    try:
        best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=2).run({"messages": [("user", "?")]})
    finally:
        uninstrument()
    lines = [line.strip("│├└─┆ ") for line in shown("best_of_n parcel_clerk")]
    names = {line.split()[0] for line in lines if line and not line.startswith("three calls")}
    made = {span.name.split()[0]: set(span.attributes or ()) for span in exporter.get_finished_spans()}
    assert names - {"execute_tool"} == made.keys()
    whole = {word for line in lines for word in re.findall(r"((?:ec_agent|gen_ai)\.[\w.]+)=", line)}
    assert whole - {"gen_ai.response.finish_reasons"} <= set().union(*made.values())
