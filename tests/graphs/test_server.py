"""``make serve`` serves the graphs of ``langgraph.json``, without network or licence, on the real model."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
from langgraph_sdk import get_sync_client

from ec_agent import Selection

ROOT = Path(__file__).parents[2]
OFFLINE = Path(__file__).with_name("offline_server.py")
KEYS = ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY", "LANGGRAPH_CLOUD_LICENSE_KEY")
QUESTION = {"messages": [{"role": "user", "content": "Parcel: 3 mugs + 2 lamps"}]}


def served_by_make():
    """What ``make serve`` runs: environment and arguments of ``langgraph``."""
    # Where the tests run under make, this one must not take itself for a part of that.
    alone = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    said = subprocess.run(
        ["make", "-n", "serve"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True
    ).stdout
    words = said.replace("\\\n", " ").split("LANGGRAPH_NO_VERSION_CHECK=", 1)[1].split()
    program = next(place for place, word in enumerate(words) if word.endswith("/langgraph"))
    settings = [f"LANGGRAPH_NO_VERSION_CHECK={words[0]}", *words[1:program]]
    return dict(setting.split("=", 1) for setting in settings), words[program + 1 :]


class Server(NamedTuple):
    """The running server: its client, what it logged, and where it would have gone."""

    client: object
    log: Path
    notes: Path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = tmp_path_factory.mktemp("dev")
    log, notes = place / "log", place / "notes"
    settings, words = served_by_make()
    command = [sys.executable, str(OFFLINE), str(notes), *words, "--no-reload", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name not in KEYS}
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env={**environment, **settings}, stdout=out, stderr=out)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx2.get(f"{url}/ok").raise_for_status()
                break
            except httpx2.HTTPError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
        yield Server(get_sync_client(url=url), log, notes)
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.model
def test_rollouts_and_selection_are_drawn_as_nodes(server):
    drawn = {
        assistant["graph_id"]: {
            node["id"] for node in server.client.assistants.get_graph(assistant["assistant_id"], xray=True)["nodes"]
        }
        for assistant in server.client.assistants.search()
    }
    assert {"solve:rollout:model", "solve:rollout:tools", "solve:select", "answer"} <= drawn["shop_desk"]
    assert {"best_of_n:rollout:model", "best_of_n:select"} <= drawn["best_of_n"]
    assert {"model", "tools"} <= drawn["agent"]


@pytest.mark.model
def test_the_receipt_is_part_of_the_states_schema(server):
    (desk,) = server.client.assistants.search(graph_id="shop_desk")
    schemas = server.client.assistants.get_schemas(desk["assistant_id"])
    assert {"messages", "status", "receipt"} <= set(schemas["state_schema"]["properties"])


@pytest.mark.model
def test_every_graph_within_is_described(server):
    within = {
        assistant["graph_id"]: server.client.assistants.get_subgraphs(assistant["assistant_id"], recurse=True)
        for assistant in server.client.assistants.search()
    }
    assert {"solve", "solve|rollout"} <= set(within["shop_desk"])
    assert {"best_of_n", "best_of_n|rollout"} <= set(within["best_of_n"])
    assert "records" in within["shop_desk"]["solve"]["output_schema"]["properties"]


@pytest.mark.whole_form("a run of the real model on the server; the short form asks the server for its graphs")
@pytest.mark.model
def test_a_thread_runs_and_leaves_its_receipt(server):
    """As Studio runs it: streamed with subgraphs, which shows the fan-out's nodes, and read back from the state."""
    client = server.client
    thread = client.threads.create()["thread_id"]
    run = client.runs.stream(
        thread,
        "shop_desk",
        input=QUESTION,
        context={"n": 2},
        stream_mode=["updates", "custom"],
        stream_subgraphs=True,
    )
    seen, events = [], []
    for part in run:
        name, _, beneath = part.event.partition("|")
        if name == "updates":
            seen += [f"{re.sub(':[^|]*', '', beneath)}/{node}" for node in part.data]
        elif name == "custom":
            events.append(part.data["type"])
    assert seen.count("solve/rollout") == 2
    assert [node for node in seen if node != "solve/rollout"] == ["/open", "solve/select", "/solve", seen[-1]]
    assert events.count("ec_agent.rollout.scored") == 2
    assert events[-1] == "ec_agent.selection"
    state = client.threads.get_state(thread)["values"]
    receipt = Selection.from_dict(state["receipt"])
    assert state["status"] in ("answered", "passed on")
    assert seen[-1] == {"answered": "/answer", "passed on": "/pass_on"}[state["status"]]
    assert len(receipt.candidates) == 2
    assert receipt.candidates[receipt.winner].coverage == 1.0
    assert receipt.candidates[receipt.winner].centroid is not None
    assert receipt.usage["generated_tokens"] > 0
    assert all("logprobs" not in (message.get("response_metadata") or {}) for message in state["messages"])


@pytest.mark.whole_form("a run of the real model on the server; the short form asks the server for its graphs")
@pytest.mark.model
def test_its_events_tell_of_the_winner_alone(server):
    client = server.client
    thread = client.threads.create()["thread_id"]
    run = client.runs.stream(thread, "shop_desk", input=QUESTION, context={"n": 2}, stream_mode=["events"])
    events = [part.data for part in run if part.event == "events"]
    places = [str((event.get("metadata") or {}).get("langgraph_checkpoint_ns")) for event in events]
    ended = [event["data"]["output"]["id"] for event in events if event["event"] == "on_chat_model_end"]
    messages = client.threads.get_state(thread)["values"]["messages"]
    said = {message["id"] for message in messages if message["type"] == "ai"}
    assert set(ended) <= said
    assert len(ended) == len(set(ended)) > 0
    assert not any("rollout" in place for place in places)


@pytest.mark.model
def test_it_asked_nothing_of_the_network(server):
    """Last of all: by now it has started, drawn, and run; there was no key and no licence in its environment."""
    assert not server.notes.exists(), server.notes.read_text()


@pytest.mark.parametrize("call", ["create_connection(('192.0.2.1', 80))", "getaddrinfo('example.org', 80)"])
def test_asking_the_network_would_have_been_noted(tmp_path, call):
    notes = tmp_path / "notes"
    code = f"import sys, socket, offline_server; sys.addaudithook(offline_server.refuse); socket.{call}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(notes)], cwd=OFFLINE.parent, capture_output=True, check=False
    )
    assert done.returncode
    assert notes.read_text().startswith("socket.")
