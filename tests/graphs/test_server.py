"""``langgraph dev`` serves the graphs of ``langgraph.json``, without network or licence, on the real model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from langgraph_sdk import get_sync_client

ROOT = Path(__file__).parents[2]

QUIET = {
    "LANGGRAPH_NO_VERSION_CHECK": "1",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGSMITH_TRACING": "false",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("dev") / "log"
    command = [str(Path(sys.executable).with_name("langgraph")), "dev", "--no-browser", "--no-reload"]
    with log.open("w") as out:
        server = subprocess.Popen(
            [*command, "--port", str(port)], cwd=ROOT, env={**os.environ, **QUIET}, stdout=out, stderr=out
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx2.get(f"{url}/ok").raise_for_status()
                break
            except httpx2.HTTPError:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
        yield get_sync_client(url=url)
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.model
def test_rollouts_and_selection_are_drawn_as_nodes(client):
    drawn = {
        assistant["graph_id"]: {
            node["id"] for node in client.assistants.get_graph(assistant["assistant_id"], xray=True)["nodes"]
        }
        for assistant in client.assistants.search()
    }
    assert {"solve:rollout:model", "solve:rollout:tools", "solve:select", "answer"} <= drawn["shop_desk"]
    assert {"best_of_n:rollout:model", "best_of_n:select"} <= drawn["best_of_n"]
    assert {"model", "tools"} <= drawn["agent"]


@pytest.mark.model
def test_a_thread_runs_and_leaves_its_receipt(client):
    thread = client.threads.create()["thread_id"]
    question = {"messages": [{"role": "user", "content": "Parcel: 3 mugs + 2 lamps"}]}
    client.runs.wait(thread, "shop_desk", input=question, context={"n": 2})
    state = client.threads.get_state(thread)["values"]
    receipt = state["receipt"]
    assert state["status"] in ("answered", "passed on")
    assert len(receipt["candidates"]) == 2
    assert receipt["candidates"][receipt["winner"]]["coverage"] == 1.0
    assert all("logprobs" not in (message.get("response_metadata") or {}) for message in state["messages"])
