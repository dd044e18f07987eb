"""Valid arguments of what runs rollouts, commits, and asks models."""

from __future__ import annotations

from fuzz_cases import Asked, Case
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from ec_agent import (
    BestOfN,
    MemoryJournal,
    SaverJournal,
    SQLiteJournal,
    best_of_n,
    commit_tool,
    read_only,
)
from ec_agent.doctor import ChatModelTarget
from ec_agent.prompted import PromptedToolModel
from ec_agent.testing import Reply, ScriptedChatModel

INTENT = {"tool": "send", "args": "{}", "at": 1.0, "by": "me"}


@read_only
@tool
def look(text: str) -> str:
    """Look."""
    return text


@commit_tool
@tool
def send(text: str) -> str:
    """Send."""
    return text


def script(messages, index):
    Asked.count += 1
    return Reply(f"answer {index}", entropies=[2.0, 0.1, 0.1] if index else [0.1, 0.1, 2.0])


def model(*_):
    return ScriptedChatModel(script)


def agent(*_):
    return create_agent(model(), [])


def quick(state):
    return {"messages": [model().invoke(state["messages"])]}


def asked(node):
    few = isinstance(node, BestOfN) and node._node.options.n < 100
    return node.invoke({"messages": [("user", "q")]}) if few else node


def question(**_):
    return {"input": {"messages": [("user", "q")]}}


def running(twin=True):
    return Case(
        lambda _: question(),
        twin=twin,
        only=("config", "on_event"),
        on=lambda _: best_of_n(quick, n=2),
        told={"input": "", "config": "config|thread"},
    )


def journal(make, name, twin, **given):
    def made(folder):
        found = make(folder)
        if name.endswith("note"):
            found.claim("k", 0, INTENT)
        return found

    return Case(
        lambda _: {"key": "k", **given},
        twin=twin,
        on=made,
        told={"key": "key|no longer has attempt", "attempt": "attempt|was just written"},
    )


def begun(folder):
    found = MemoryJournal()
    found.claim("k", 0, INTENT)
    return {"journal": found, "key": "k", "result": "sent"}


JOURNALS = {
    "MemoryJournal": lambda folder: MemoryJournal(),
    "SQLiteJournal": lambda folder: SQLiteJournal(folder / "j.sqlite"),
    "SaverJournal": lambda folder: SaverJournal(InMemorySaver(), "t"),
}

AGENTS = {
    "ec_agent.best_of_n": Case(
        lambda _: {"agent": quick, "n": 2},
        use=asked,
        told={"commit": "commit|tool", "promote": "promote|environment"},
        functions=frozenset(
            ("agent", "final_action", "route", "output", "calls", "sampling", "environment", "promote")
        ),
    ),
    "ec_agent.BestOfN.invoke": running(),
    "ec_agent.BestOfN.ainvoke": running(),
    "ec_agent.BestOfN.stream": running(),
    "ec_agent.BestOfN.astream": running(),
    "ec_agent.BestOfN.run": running(twin=False),
    "ec_agent.BestOfN.arun": running(),
    "ec_agent.Limits": Case(use=lambda limits: asked(best_of_n(quick, n=2, limits=limits))),
    "ec_agent.CommitToolNode": Case(lambda _: {"tools": [send]}),
    "ec_agent.commit_tool": Case(lambda _: {"tool": send}),
    "ec_agent.read_only": Case(lambda _: {"tool": look}),
    "ec_agent.record_calls": Case(),
    "ec_agent.MemoryJournal": Case(use=lambda made: made.claim("k", 0, INTENT)),
    "ec_agent.SQLiteJournal": Case(
        lambda folder: {"path": folder / "j.sqlite"}, use=lambda made: made.claim("k", 0, INTENT)
    ),
    "ec_agent.SaverJournal": Case(
        lambda _: {"saver": InMemorySaver(), "thread_id": "t"}, use=lambda made: made.claim("k", 0, INTENT)
    ),
    "ec_agent.settle_commit": Case(begun),
    "ec_agent.asettle_commit": Case(begun, twin=True),
    "ec_agent.environments.worlds.in_environment": Case(lambda _: {"environment": object()}),
    "ec_agent.testing.Reply": Case(
        functions=frozenset(("error",)),
        use=lambda reply: reply.error or reply.delay > 0.1 or saying(reply).invoke({"messages": "q"}),
    ),
    "ec_agent.testing.ScriptedChatModel": Case(
        lambda _: {"script": [[Reply("a", entropies=[0.1])]]},
        use=lambda made: made.invoke("q"),
        functions=frozenset(("script",)),
    ),
    "ec_agent.evaluation.adapters.turns.in_turns": Case(lambda _: {"agent": agent()}),
    "ec_agent.doctor.ChatModelTarget": Case(lambda _: {"model": model()}),
    "ec_agent.doctor.EndpointTarget": Case(
        lambda _: {"base_url": "http://127.0.0.1:9/v1", "model": "m"}, told={"base_url": "base_url|base URL"}
    ),
    "ec_agent.doctor.diagnose": Case(lambda _: {"target": ChatModelTarget(model())}),
    "ec_agent.doctor.adiagnose": Case(lambda _: {"target": ChatModelTarget(model())}),
    "ec_agent.doctor.models_of": Case(lambda _: {"agent": agent()}),
    "ec_agent.prompted.PromptedToolModel": Case(
        lambda _: {"model": model()},
        only=("model", "protocol", "preamble", "examples"),
        told={"model": "PromptedToolModel", "examples": "PromptedToolModel"},
    ),
    "ec_agent.prompted.PromptedToolModel.bind_tools": Case(
        lambda _: {"tools": [look]}, on=lambda _: PromptedToolModel(model=model())
    ),
    "ec_agent.prompted.HermesProtocol": Case(use=lambda protocol: PromptedToolModel(model=model(), protocol=protocol)),
    "ec_agent.prompted.JsonSchemaProtocol": Case(
        use=lambda protocol: PromptedToolModel(model=model(), protocol=protocol)
    ),
    "ec_agent.local.LocalChatModel": Case(lambda _: {"base_url": "http://127.0.0.1:9/v1"}),
    "ec_agent.capture.transport.EntropyTransport": Case(),
    "ec_agent.capture.transport.AsyncEntropyTransport": Case(),
    "ec_agent.capture.transport.http_client": Case(),
    "ec_agent.capture.transport.async_http_client": Case(),
} | {
    f"ec_agent.{kind}.{prefix}{name}": journal(make, name, prefix == "a", **given)
    for kind, make in JOURNALS.items()
    for name, given in (
        ("read", {}),
        ("claim", {"attempt": 0, "intent": INTENT}),
        ("note", {"attempt": 0, "outcome": {"status": "done", "value": 1}}),
    )
    for prefix in ("", "a")
}


def saying(reply):
    return create_agent(ScriptedChatModel([[reply]]), [])
