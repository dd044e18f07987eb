"""Runs with faults in them, each of which must deliver the winner's mails once, and nobody else's.

``deliver`` draws a run from a seed: how many rollouts, what happens to each of them, who carries the calls out, what
fails afterwards and is retried. A run in which no rollout can win must deliver nothing.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import smtplib
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy
from sinks import SmtpSink

from ec_agent import (
    AllRolloutsFailedError,
    CommitToolNode,
    Limits,
    NoScoredRolloutError,
    best_of_n,
    commit_tool,
    read_only,
)
from ec_agent.commits.at_most_once import get_idempotency_key
from ec_agent.testing import Reply, ScriptedChatModel

TIMEOUT = 1.5  # seconds a rollout may take in a run where one is late
FAULTS = ("raises", "late", "mute", "cancelled", "loops", "wordy")
CARRIERS = ("CommitToolNode", "ToolNode", "executed")
LATER = ("nothing", "the node after", "the run", "the node itself")
AGAIN = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=4, retry_on=ConnectionError)


class State(MessagesState, total=False):
    receipt: dict[str, Any]


@dataclass
class Run:
    """One run, as drawn.

    Attributes:
        faults: what happens to each rollout; ``None``: nothing does.
        mails: how many each would send.
        beside: whether each asks for something harmless in the same message.
        fails: what fails after the delivery: a node that is retried, or the run, which is then resumed.
        saved: whether there is a checkpointer.
        named: whether the run has a thread id.
    """

    seed: str
    api: str
    carrier: str
    n: int
    faults: list[str | None]
    mails: list[int]
    beside: list[bool]
    fails: str
    saved: bool
    named: bool
    winner: int | None = None
    delivered: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        drawn = {k: v for k, v in vars(self).items() if k not in ("broken", "delivered")}
        return "\n  ".join([str(drawn), *self.broken])


def draw(seed: str) -> Run:
    dice = random.Random(seed)
    n = dice.choice((1, 2, 4, 8))
    api, carrier = dice.choice(("sync", "async")), dice.choice(CARRIERS)
    faults = [dice.choice(FAULTS) if dice.random() < 0.4 else None for _ in range(n)]
    if None not in faults and dice.random() < 0.8:
        faults[dice.randrange(n)] = None
    fails = dice.choice(LATER if carrier == "executed" else LATER[:3])
    saved = fails == "the run" or dice.random() < 0.5
    return Run(
        seed=seed,
        api=api,
        carrier=carrier,
        n=n,
        faults=faults,
        mails=[dice.choice((1, 1, 1, 2)) for _ in range(n)],
        beside=[dice.random() < 0.25 for _ in range(n)],
        fails=fails,
        saved=saved,
        named=saved or dice.random() < 0.5,
    )


def deliver(run: Run, sink: SmtpSink) -> Run:
    """Play it, and compare what was delivered with the choice."""
    graph = _graph(run, sink.port)
    config: dict[str, Any] = {"configurable": {"thread_id": run.seed}} if run.named else {}
    question = {"messages": [HumanMessage("go")]}
    possible = [i for i, fault in enumerate(run.faults) if fault is None]

    def play(input: Any) -> Any:
        return graph.invoke(input, config) if run.api == "sync" else asyncio.run(graph.ainvoke(input, config))

    try:
        try:
            state = play(question)
        except ConnectionError:
            if run.fails != "the run":
                raise
            state = play(None)
        run.winner = state["receipt"]["winner"]
        if run.winner not in possible:
            run.broken.append("the winner is a rollout that something happened to")
    except (AllRolloutsFailedError, NoScoredRolloutError) as error:
        if possible and "late" not in run.faults:
            run.broken.append(f"no winner: {error}")
    except Exception as error:
        run.broken.append(f"the run failed: {error!r}")
    address = f"{run.seed}@example.com"
    mails = [mail for mail in sink.deliveries if address in mail.recipients]
    run.delivered = sorted(mail.body for mail in mails)
    right = [] if run.winner is None else [_mail(run.winner, k) for k in range(run.mails[run.winner])]
    if run.delivered != right:
        run.broken.append(f"delivered {run.delivered}, where {right} is right; keys {[mail.key for mail in mails]}")
    return run


def deliver_all(seeds: Iterable[str], sink: SmtpSink, workers: int = 4) -> list[Run]:
    """Several runs side by side."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda seed: deliver(draw(seed), sink), seeds))


def _mail(index: int, place: int) -> str:
    return f"mail {place} of rollout {index}"


def _graph(run: Run, port: int) -> Any:
    look, send = _tools(run, port)
    agent = create_agent(ScriptedChatModel(lambda messages, index: _reply(run, messages, index)), [look, send])
    fail = _once() if run.fails != "nothing" else lambda: None
    executed = run.carrier == "executed"

    def route(winner: Any) -> str:
        fail()
        return "after"

    node = best_of_n(
        agent,
        n=run.n,
        on_commit="execute" if executed else "route",
        selection_key="receipt",
        route=route if run.fails == "the node itself" else None,
        on_missing="exclude",
        limits=Limits(timeout=TIMEOUT if "late" in run.faults else None, max_tokens=100, recursion_limit=12),
    )
    builder = StateGraph(State)
    itself = AGAIN if run.fails == "the node itself" else None
    builder.add_node("solve", node, retry_policy=itself, destinations=("after",) if itself else None)
    after = fail if run.fails in ("the node after", "the run") else lambda: None
    builder.add_node("after", lambda state: after(), retry_policy=AGAIN if run.fails == "the node after" else None)
    builder.add_edge(START, "solve")
    if executed:
        if not itself:
            builder.add_edge("solve", "after")
    else:
        carrier = CommitToolNode if run.carrier == "CommitToolNode" else ToolNode
        builder.add_node("tools", carrier([look, send]))
        builder.add_edge("solve", "tools")
        builder.add_edge("tools", "after")
    return builder.compile(checkpointer=InMemorySaver() if run.saved else None)


def _once() -> Callable[[], None]:
    left = [1]
    lock = threading.Lock()

    def fail() -> None:
        with lock:
            left[0] -= 1
            if left[0] >= 0:
                raise ConnectionError("a later step failed")

    return fail


def _reply(run: Run, messages: list[Any], index: int) -> Reply:
    fault = run.faults[index]
    looked = any(isinstance(message, ToolMessage) for message in messages)
    entropies: list[float | None] | None = [2.0 if place == (7 * index + 3) % 20 else 0.1 for place in range(20)]
    error: Any = None
    if fault == "raises" and looked:
        error = RuntimeError("the model is down")
    elif fault == "cancelled" and looked:
        error = asyncio.CancelledError() if run.api == "async" else concurrent.futures.CancelledError()
    elif fault == "wordy":
        entropies = [0.1] * 101
    elif fault == "mute":
        entropies = None
    late = (30.0 if run.api == "async" else TIMEOUT + 0.05) if fault == "late" else 0.0
    calls: list[tuple[str, dict[str, Any]]] = [("look", {"place": "here"})] if not looked or run.beside[index] else []
    if looked and fault != "loops":
        calls += [("send", {"text": _mail(index, place)}) for place in range(run.mails[index])]
    elif looked:
        calls = [("look", {"place": "there"})]
    return Reply(f"rollout {index}", calls, entropies, error=error, delay=late)


def _tools(run: Run, port: int) -> tuple[BaseTool, BaseTool]:
    def look(place: str) -> str:
        """Look around."""
        return f"seen {place}"

    def send(text: str) -> str:
        """Send a mail."""
        message = EmailMessage()
        message["From"], message["To"] = "agent@example.com", f"{run.seed}@example.com"
        if (key := get_idempotency_key()) is not None:
            message["X-Idempotency-Key"] = key
        message.set_content(text)
        with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost", timeout=30) as client:
            client.send_message(message)
        return "sent"

    async def asend(text: str) -> str:
        return await asyncio.to_thread(send, text)

    looking = StructuredTool.from_function(look)
    return read_only(looking), commit_tool(StructuredTool.from_function(send, asend, name="send"))


def table(runs: list[Run]) -> str:
    """The figures, a line for each who carries the calls out."""
    columns = ("runs", "won", "without", "mails", "faults", "retried", "BROKEN")
    lines = ["  ".join([" " * 24, *columns])]
    for name in [*(f"{carrier} / {api}" for carrier in CARRIERS for api in ("sync", "async")), "all"]:
        group = [run for run in runs if name in ("all", f"{run.carrier} / {run.api}")]
        figures = (
            len(group),
            sum(run.winner is not None for run in group),
            sum(run.winner is None for run in group),
            sum(len(run.delivered) for run in group),
            sum(fault is not None for run in group for fault in run.faults),
            sum(run.fails != "nothing" for run in group),
            sum(bool(run.broken) for run in group),
        )
        lines.append(
            "  ".join([name.ljust(24), *(str(f).rjust(len(c)) for f, c in zip(figures, columns, strict=True))])
        )
    faults = Counter(fault for run in runs for fault in run.faults if fault)
    return "\n".join([*lines, "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items()))])
