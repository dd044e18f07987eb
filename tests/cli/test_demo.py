"""The demo: what it shows of a result (no model), and the whole of it on the real one."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ec_agent import best_of_n
from ec_agent.cli.demo import run_demo, show
from ec_agent.cli.timeline import CENTROID
from ec_agent.errors import ConfigError
from ec_agent.rollouts.final_action import in_one_line
from ec_agent.support.extras import installing
from ec_agent.testing import Reply, ScriptedChatModel, message_of

ROOT = Path(__file__).parents[2]


def shown(scripts, width=100):
    model = ScriptedChatModel(scripts)
    result = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=len(scripts)).run(
        {"messages": [("user", "?")]}
    )
    out = io.StringIO()
    show(result, Console(file=out, width=width))
    return out.getvalue()


def test_winner_first_with_pictures_and_the_chosen_action():
    text = shown(
        [
            [Reply("late", entropies=[0.1, 0.1, 0.1, 2.0])],
            [Reply("early", entropies=[2.0, 0.1, 0.1, 0.1])],
            [Reply("mute")],
            [Reply(error=RuntimeError("no [bold] luck"))],
        ]
    )
    rows = [line for line in text.splitlines() if line.strip(" *")[:1].isdigit() and "▁" not in line]
    assert [row.strip(" *").split()[0] for row in rows[1:5]] == ["1", "0", "2", "3"]
    assert [row[0] for row in rows[1:5]] == ["*", " ", " ", " "]
    assert "0.125" in rows[1]
    assert "no [bold] luck" in rows[4]
    assert text.count(CENTROID) == 3  # two timelines and the legend
    assert "chosen  rollout 1: early" in text


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("action", ["14.84 pounds", "30 mugs, paid", "Meet at gate 12"])
def test_a_short_action_is_whole_on_a_narrow_terminal(width, action):
    long = "[bold] it goes on\nand " * 20
    lines = shown([[Reply(action, entropies=[2.0, 0.1])], [Reply(long, entropies=[0.1, 2.0])]], width).splitlines()
    at = lines[1].index("final action")
    assert lines[2][at:].rstrip() == action
    assert lines[3][at:].rstrip().endswith(" ...")
    assert lines[3][at:].startswith("[bold] it")
    assert all(len(line) <= max(width, at + 16) for line in lines[1:4])


def test_a_tool_call_is_described():
    assert in_one_line(message_of(Reply(tool_calls=[("send", {"to": "x"})]))) == 'send({"to": "x"})'
    assert in_one_line({"answer": "a\n b"}) == "{'answer': 'a\\n b'}"


@pytest.mark.whole_form("eight rollouts of the real model take a minute of both cores")
@pytest.mark.model
def test_eight_real_rollouts_of_several_calls_scored_over_the_whole_timeline(tmp_path):
    page = tmp_path / "demo.html"
    done = subprocess.run(
        [sys.executable, "-m", "ec_agent.cli", "demo", "--json", "--live", "--html", str(page)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    candidates = receipt["candidates"]
    assert len(candidates) == 8
    assert all(c["error"] is None and c["calls"] >= 2 and c["tool_calls"] >= 1 for c in candidates)
    assert sum(c["calls"] >= 3 for c in candidates) >= 6
    assert all(c["coverage"] == 1.0 and c["tokens"] == c["scored_tokens"] > 20 for c in candidates)
    assert all(0 <= c["centroid"] < 1 and c["unsampled_calls"] == 0 for c in candidates)
    assert receipt["winner"] == min(candidates, key=lambda c: (c["centroid"], c["index"]))["index"]
    assert receipt["answer"]
    shown = done.stderr.splitlines()
    for c in candidates:
        ended = f"rollout {c['index']}  ended: {c['calls']} calls, {c['tokens']} tokens"
        assert any(line.startswith(ended) for line in shown)
        assert sum(line.startswith(f"rollout {c['index']}  tool ") for line in shown) >= c["tool_calls"]
    assert any(line.startswith(f"chosen by lowest_centroid: rollout {receipt['winner']} of 8") for line in shown)
    text = page.read_text(encoding="utf-8")
    assert f"Rollout {receipt['winner']} won" in text
    assert text.count("<svg ") == 8
    assert 'title="weigh"' in text


def test_a_page_that_cannot_be_made_is_said_before_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=re.escape(f"matplotlib; run: {installing('ec-agent[html]')}")):
        run_demo(None, n=2, temperature=0.8, seed=0, as_json=False, html=Path("demo.html"))
