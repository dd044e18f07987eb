"""A RemoteGraph within a rollout sends what it would send if the agent ran alone."""

from __future__ import annotations

import json
import re
import threading
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import kit
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.pregel import remote as langgraph_remote
from langgraph.pregel.remote import RemoteGraph
from langsmith.run_trees import RunTree

from ec_agent import AgentError, NoScoredRolloutError, best_of_n
from ec_agent.rollouts import remote_graphs
from ec_agent.testing import Reply, ScriptedChatModel, message_of

pytestmark = kit.SAME
ASK = {"messages": [HumanMessage("hi", id="h")]}
SETTINGS = {
    "nothing": {},
    "a thread": {"configurable": {"thread_id": "mine"}},
    "much": {
        "configurable": {"thread_id": "mine", "user": "u", "ec_environment": "theirs"},
        "metadata": {"a": 1, "ec_rollout": "theirs"},
        "tags": ["x"],
        "recursion_limit": 33,
    },
}
_IDS = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class Server(ThreadingHTTPServer):
    """Answers every run with one message, and keeps what it was asked."""

    def __init__(self):
        self.asked, self.message = [], {"type": "ai", "content": "from afar", "id": "m1"}
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def requests(self):
        """What was asked, each thing once, less ids that are new each time."""
        return sorted({_IDS.sub("-", request) for request in self.asked})

    def graph(self, **options):
        return RemoteGraph("remote", url=f"http://127.0.0.1:{self.server_port}", **options)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        named = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")}
        self.server.asked.append(json.dumps([self.path, sent, named], sort_keys=True))
        body = f"event: values\ndata: {json.dumps({'messages': [self.server.message]})}\n\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture(scope="module")
def started():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def server(started):
    started.asked.clear()
    started.message = {"type": "ai", "content": "from afar", "id": "m1"}
    return started


def as_a_node(remote):
    return kit.graph(MessagesState, remote=remote)


def in_a_subgraph(remote):
    return kit.graph(MessagesState, sub=kit.graph(MessagesState, remote=remote))


def in_a_function(remote):
    def ask(state, config: RunnableConfig):
        return {"messages": remote.invoke(state, config)["messages"]}

    async def aask(state, config: RunnableConfig):
        return {"messages": (await remote.ainvoke(state, config))["messages"]}

    return kit.graph(MessagesState, ask=(ask, aask))


def in_a_thread(remote):
    def ask(state, config: RunnableConfig):
        found = []
        thread = threading.Thread(target=lambda: found.append(remote.invoke(state, config)))
        thread.start()
        thread.join()
        return {"messages": found[0]["messages"]}

    return kit.graph(MessagesState, ask=ask)


def on_a_thread_of_its_own(remote):
    def ask(state, config: RunnableConfig):
        mine = {**config, "configurable": {**config["configurable"], "thread_id": "its own"}}
        return {"messages": remote.invoke(state, mine)["messages"]}

    return kit.graph(MessagesState, ask=ask)


def streamed(remote):
    def ask(state, config: RunnableConfig):
        return {"messages": list(remote.stream(state, config, stream_mode="values"))[-1]["messages"]}

    return kit.graph(MessagesState, ask=ask)


def a_function(remote):
    def ask(state, config: RunnableConfig):
        return {"messages": remote.invoke(state, config)["messages"]}

    return RunnableLambda(ask, afunc=lambda state, config: remote.ainvoke(state, config))


def a_function_with_a_graph(remote):
    graph = as_a_node(remote)
    return RunnableLambda(lambda state: graph)


AGENTS = [as_a_node, in_a_subgraph, in_a_function, in_a_thread, on_a_thread_of_its_own, streamed]


def wrapped(agent, **options):
    return best_of_n(agent, n=2, on_unscored="first", **options)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("made", AGENTS)
def test_the_requests_are_those_of_the_agent_alone(run, server, made, settings):
    agent, config = made(server.graph()), SETTINGS[settings]
    alone = run.invoke(agent, ASK, config)["messages"][-1].content
    expected = server.requests
    server.asked.clear()
    assert run.invoke(wrapped(agent), ASK, config)["messages"][-1].content == alone
    assert len(server.asked) == 2
    if made is in_a_function and settings != "much":  # LangChain fills in a limit there
        expected = [request.replace(', "recursion_limit": 25', "") for request in expected]
    assert server.requests == expected


@pytest.mark.parametrize("settings", ["a thread", "much"])
@pytest.mark.parametrize("made", [as_a_node, a_function, a_function_with_a_graph])
def test_within_a_graph_with_a_checkpointer(run, server, made, settings):
    agent, config = made(server.graph()), SETTINGS[settings]
    run.invoke(kit.outer(agent, checkpointer=InMemorySaver()), ASK, config)
    expected = server.requests
    server.asked.clear()
    run.invoke(kit.outer(wrapped(agent), checkpointer=InMemorySaver()), ASK, config)
    limit = re.compile(r', "recursion_limit": \d+')  # LangChain fills one in, or takes one off, where a function calls
    assert [limit.sub("", request) for request in server.requests] == [limit.sub("", request) for request in expected]


def test_a_lone_function_sends_nothing_of_ours(run, server):
    run.invoke(wrapped(a_function(server.graph())), ASK, SETTINGS["a thread"])
    assert server.asked
    assert not any("langgraph_node" in request or "checkpoint_ns" in request for request in server.asked)


def test_a_function_in_a_rollout_sends_as_its_node(run, server):
    agent = kit.graph(MessagesState, inner=wrapped(a_function(server.graph())))
    run.invoke(wrapped(agent), ASK)
    for _, sent, _ in map(json.loads, server.asked):
        assert sent["config"]["metadata"]["langgraph_node"] == "inner"
        assert sent["config"]["metadata"]["langgraph_checkpoint_ns"].startswith("inner:")
        assert "|" not in sent["config"]["metadata"]["langgraph_checkpoint_ns"]


def test_a_bound_thread_id_stays(run, server):
    agent = as_a_node(server.graph(config={"configurable": {"thread_id": "bound"}}))
    run.invoke(wrapped(agent), ASK)
    assert all('"/threads/bound/runs/stream"' in request for request in server.asked)


def test_an_environment_is_not_sent(run, server):
    agent = as_a_node(server.graph())
    run.invoke(agent, ASK)
    expected = server.requests
    server.asked.clear()
    run.invoke(wrapped(agent, environment=lambda index, asked: nullcontext(f"world {index}")), ASK)
    assert server.requests == expected


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_question_within_a_rollout(run, server, settings):
    agent = as_a_node(server.graph())
    run.invoke(kit.graph(MessagesState, inner=agent), ASK, SETTINGS[settings])
    made = [json.loads(request) for request in server.requests]
    server.asked.clear()
    run.invoke(wrapped(kit.graph(MessagesState, inner=wrapped(agent))), ASK, SETTINGS[settings])
    assert len(server.asked) == 4
    for path, sent, _ in map(json.loads, server.asked):
        assert path == made[0][0]
        assert sent["config"]["configurable"] == made[0][1]["config"]["configurable"]
        assert sent["config"]["metadata"].get("thread_id") == made[0][1]["config"]["metadata"].get("thread_id")
        assert "|" in sent["config"]["metadata"]["langgraph_checkpoint_ns"]
        assert sent["config"]["metadata"].get("ec_rollout") == made[0][1]["config"]["metadata"].get("ec_rollout")


def test_tracing_headers_have_nothing_of_ours(run, server, monkeypatch):

    def ask(state, config: RunnableConfig):
        traced = RunTree(name="x", extra={"metadata": dict(config["metadata"])})
        monkeypatch.setattr(langgraph_remote.ls, "get_current_run_tree", lambda: traced)
        server.graph(distributed_tracing=True).invoke(state, config)
        return {"messages": ["done"]}

    run.invoke(wrapped(kit.graph(MessagesState, ask=ask)), ASK, SETTINGS["much"])
    assert len(server.asked) == 2
    for request in server.asked:
        baggage = unquote(json.loads(request)[2]["Baggage" if "Baggage" in request else "baggage"])
        metadata = json.loads(baggage.split("langsmith-metadata=")[1].rpartition("}")[0] + "}")
        assert (metadata["thread_id"], metadata["ec_rollout"], metadata["a"]) == ("mine", "theirs", 1)
        assert "ec_selector" not in metadata


def test_remote_logprobs_count_beside_local_ones(run, server):
    server.message = message_of(Reply("far", entropies=kit.peak(3, 30)), "remote").model_dump()
    local = ScriptedChatModel([[Reply("near", entropies=kit.peak(9))]])
    for order in (("remote", "local"), ("local", "remote")):
        nodes = {"remote": server.graph(), "local": lambda s: {"messages": [local.invoke("?")]}}
        agent = kit.graph(MessagesState, **{name: nodes[name] for name in order})
        result = run.run(best_of_n(agent, n=1), ASK)
        lengths = {"remote": 30, "local": 20}
        assert [call.tokens for call in result.trajectories[0].calls] == [lengths[name] for name in order]


def test_a_remote_graph_without_messages_is_reported(run, server):
    local = ScriptedChatModel([[Reply("near", entropies=kit.peak(9))]])
    agent = kit.graph(MessagesState, remote=server.graph(), local=lambda s: {"messages": [local.invoke("?")]})
    selection = run.run(best_of_n(agent, n=2), ASK).selection
    assert any("2 rollouts called a RemoteGraph" in note for note in selection.warnings)
    with pytest.raises(NoScoredRolloutError):  # it is a model that was asked, as far as anybody knows
        run.run(best_of_n(as_a_node(server.graph()), n=2), ASK)


@pytest.mark.parametrize(
    ("place", "name"),
    [(langgraph_remote, "merge_configs"), (RemoteGraph, "_get_stream_modes")],
    ids=lambda each: str(each),
)
def test_langgraphs_send_functions_are_checked_first(run, server, monkeypatch, place, name):
    monkeypatch.setattr(remote_graphs, "_installed", False)
    monkeypatch.delattr(place, name)
    with pytest.raises(AgentError, match=f"has no {name}"):
        run.invoke(wrapped(as_a_node(server.graph())), ASK)
    assert server.asked == []


def test_outside_a_rollout_nothing_changes():
    config = {"configurable": {"thread_id": "t"}, "recursion_limit": 7}
    assert remote_graphs.as_alone(config) is config
    assert remote_graphs.as_alone(None) is None
