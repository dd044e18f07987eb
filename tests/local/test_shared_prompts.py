"""A prompt that is read once for all slots: what the server is asked for, and that nothing of it costs an answer."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from endpoint import completion

from ec_agent import best_of_n
from ec_agent.local import LocalChatModel, LocalServer, server
from ec_agent.local.shared_prompts import PromptSpreader
from ec_agent.selectors import MajorityVote
from ec_agent.support.prompt_leader import Lead, current_lead

SAME = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "top_logprobs": 5}


class Slots:
    """A server with slots: attributes ``busy`` and ``asked``, what it was asked for in turn; ``fails`` at a word."""

    def __init__(self):
        self.asked, self.busy, self.fails = [], [False, True, False, False], None
        slots = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                slots.asked.append((self.path, None))
                lengths = [3, 50, 7, None]
                found = [
                    {"id": i, "is_processing": busy, "n_prompt_tokens": n}
                    for i, (busy, n) in enumerate(zip(slots.busy, lengths, strict=True))
                ]
                self._say(found)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                slots.asked.append((self.path, body))
                self._say(completion("hello"))

            def _say(self, what):
                failing = slots.fails is not None and slots.fails in self.path
                data = b"no" if slots.fails == "JSON" else json.dumps(what).encode()
                self.send_response(500 if failing else 200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def paths(self):
        return [path for path, _ in self.asked]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def slots(tmp_path):
    slots = Slots()
    yield slots
    slots.close()


@pytest.fixture
def serves(slots, tmp_path, monkeypatch):
    """An embedded server in name, whose address is that of ``slots``."""
    local = LocalServer()
    local._base_url, local._prompts = f"{slots.root}/v1", PromptSpreader(slots.root, tmp_path)
    monkeypatch.setattr(server, "_started", {local})
    return local


def test_idle_slots_get_a_prompt_processed_once(slots, tmp_path):
    PromptSpreader(slots.root, tmp_path).spread(REQUEST, 5)
    assert slots.paths == [
        "/slots",
        "/v1/chat/completions",
        "/slots/2?action=save",  # it has the longest prompt of those that are idle
        "/slots/0?action=restore",
        "/slots/3?action=restore",
    ]
    read = slots.asked[1][1]
    assert (read["messages"], read["max_tokens"], read["id_slot"]) == (REQUEST["messages"], 0, 2)
    assert "top_logprobs" not in read
    assert len({body["filename"] for _, body in slots.asked[2:]}) == 1


def test_one_idle_slot_reads_for_itself(slots, tmp_path):
    slots.busy = [True, True, True, False]
    PromptSpreader(slots.root, tmp_path).spread(REQUEST, 5)
    assert slots.paths == ["/slots"]


@pytest.mark.parametrize("fails", ["/slots", "completions", "save", "restore", "JSON"])
def test_whatever_fails_nothing_is_raised_and_no_file_stays(slots, tmp_path, fails):
    slots.fails = fails
    PromptSpreader(slots.root, tmp_path).spread(REQUEST, 5)
    assert slots.asked
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_asked_until_its_loop_answers(slots, tmp_path):
    slots.fails = "slots"
    spreader = PromptSpreader(slots.root, tmp_path)
    waiting = threading.Thread(target=spreader.await_answer, args=(60.0,))
    waiting.start()
    while len(slots.asked) < 3:
        assert waiting.is_alive()
    slots.fails = None
    waiting.join(60.0)
    assert not waiting.is_alive()
    assert set(slots.paths) == {"/slots"}


def test_a_server_that_never_answers_is_not_waited_for_longer(slots, tmp_path):
    slots.fails = "slots"
    PromptSpreader(slots.root, tmp_path).await_answer(0.1)
    assert len(slots.asked) > 1


def test_no_server_there(tmp_path):
    PromptSpreader("http://127.0.0.1:9", tmp_path).spread(REQUEST, 5)
    LocalServer().spread(REQUEST)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_the_leader_processes_the_prompt_for_its_followers(slots, serves, asynchronous):
    model, lead = LocalChatModel(base_url=serves.base_url, extra_body={"cache_prompt": True}), Lead()
    token = current_lead.set(lead)
    try:
        for _ in range(2):
            assert (asyncio.run(model.ainvoke("hi")) if asynchronous else model.invoke("hi")).content == "hello"
            assert lead.followed
    finally:
        current_lead.reset(token)
    assert slots.paths.count("/v1/chat/completions") == 3
    assert slots.paths.count("/slots") == 1
    read, asked = [body for path, body in slots.asked if path == "/v1/chat/completions"][:2]
    assert read["cache_prompt"] is asked["cache_prompt"] is True
    assert read["messages"] == asked["messages"]


@pytest.mark.parametrize("led", [False, True], ids=["nobody leads", "elsewhere"])
def test_other_requests_are_sent_as_they_are(endpoint, slots, serves, led):
    token = current_lead.set(lead := Lead() if led else None)
    try:
        url = endpoint.url if led else serves.base_url
        LocalChatModel(base_url=url).invoke("hi")
    finally:
        current_lead.reset(token)
    assert "/slots" not in slots.paths
    assert lead is None or not lead.followed  # by the rollout's recorder, once the answer comes


@SAME
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_rollouts_of_a_question_read_their_prompt_once(slots, serves, asynchronous):
    model = LocalChatModel(base_url=serves.base_url)

    def ask(state):
        return {"answer": model.invoke(state["asked"]).content}

    async def aask(state):
        return {"answer": (await model.ainvoke(state["asked"])).content}

    node = best_of_n(aask if asynchronous else ask, n=5, selector=MajorityVote(), share_prompt=True)
    asked = {"asked": "hi"}
    result = asyncio.run(node.arun(asked)) if asynchronous else node.run(asked)
    assert [candidate.error for candidate in result.selection.candidates] == [None] * 5
    assert result.selection.candidates[0].calls == 1  # reading ahead is no call of the rollout
    bodies = [body for path, body in slots.asked if path == "/v1/chat/completions"]
    assert [body.get("max_tokens") for body in bodies] == [0, *[128] * 5]


@pytest.mark.model
@SAME
def test_a_real_server_reads_a_prompt_once(monkeypatch):
    text = "Name a fruit. " + " ".join(f"Rule {number}." for number in range(30))
    with LocalServer(n_parallel=3, n_ctx=3 * 512) as local:
        model = LocalChatModel(base_url=local.base_url, max_tokens=2)
        node = best_of_n(
            lambda state: {"cached": model.invoke(text).usage_metadata},
            n=3,
            selector=MajorityVote(),
            share_prompt=True,
        )
        used = [action["cached"] for action in map(dict, node.run({}).final_actions)]
        folder = local._saved
        assert list(folder.iterdir()) == []
    assert not folder.exists()
    assert [each["input_tokens"] - each["input_token_details"]["cache_read"] for each in used] == [1, 1, 1]
