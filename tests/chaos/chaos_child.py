"""The process that gets killed: a warmed parent without threads or connections forks a child for each run.

``python chaos_child.py`` reads jobs as lines of JSON and answers each with a line. A child runs an outer graph with a
checkpointer from where its thread has come to. It is killed from outside after some time, or kills itself at an exact
place. Whatever the model and the tools do follows from the job alone, so an undisturbed run says what must come out.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import http.client
import itertools
import json
import os
import random
import select
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chaos_variants import STOPPING, TWICE
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import (
    CommitError,
    CommitToolNode,
    CommitUncertain,
    SQLiteCopies,
    best_of_n,
    commit_tool,
    get_environment,
    read_only,
)
from ec_agent.commits.at_most_once import get_idempotency_key
from ec_agent.commits.saver_journal import SaverJournal
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9, 12)
STUCK = 30.0  # seconds after which a run that should have ended is given up

PLACES = (
    *("before the step", "after the step"),  # is on the line of the run's acts
    *("before the intent", "in the intent", "after the intent", "before the outcome", "after the outcome"),
)


class State(MessagesState, total=False):
    receipt: dict[str, Any]


# The run


class Script:
    """What model and tools do: look around, then send a mail; ``continue`` twice, then an answer."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._variant: str = job["variant"]
        self._seed = job["seed"]
        self._url = job["port"], f"/{job['thread']}"
        self._log = job["log"]
        self._choice = job.get("choice", "")  # of one worker among several

    def reply(self, messages: list[Any], index: int) -> Reply:
        told = [m.name for m in messages if isinstance(m, ToolMessage)]
        stretch = told.count("send")
        looked = told[-1:] == ["look"]
        if not looked:
            self.note(f"rollout {stretch} {index}")
        where = PEAKS[(index + stretch) % len(PEAKS)]
        entropies = [2.0 if place == where else 0.1 for place in range(20)]
        delay = random.Random(f"{self._seed}/{stretch}/{index}/{looked}").uniform(0.001, 0.006)
        calls: list[tuple[str, dict[str, Any]]] = []
        if not looked:
            calls = [("look", {"place": f"{stretch}/{index}"})]
        elif self._variant != "answer" and stretch < (2 if self._variant in TWICE else 1):
            calls = [("send", {"text": f"mail {stretch} of rollout {index}{self._choice}"})]
        return Reply(f"step {stretch} of rollout {index}", calls, entropies, delay=delay)

    def tools(self) -> list[BaseTool]:
        def look(place: str) -> str:
            """Look around."""
            world = get_environment()
            if hasattr(world, "connect"):
                with contextlib.closing(world.connect()) as database, database:
                    database.execute("INSERT INTO seen VALUES (?)", (place,))
            elif world is not None:
                Path(world, "seen").write_text(place)
            time.sleep(0.001)
            return f"seen {place}"

        def send(text: str) -> str:
            """Send a mail."""
            self.note(f"send {text}")
            time.sleep(0.002)
            connection = http.client.HTTPConnection("127.0.0.1", self._url[0], timeout=10)
            headers = {"Idempotency-Key": get_idempotency_key() or "none"}
            connection.request("POST", self._url[1], json.dumps({"text": text}), headers)
            answer = connection.getresponse().read().decode()
            connection.close()
            time.sleep(0.002)
            return f"sent {text!r}, {'delivered' if 'delivery' in answer else answer}"

        def both(func: Callable[..., Any]) -> BaseTool:
            async def coroutine(**arguments: Any) -> Any:
                return await asyncio.to_thread(func, **arguments)

            return StructuredTool.from_function(func, coroutine, name=func.__name__)

        return [read_only(both(look)), *([commit_tool(both(send))] if self._variant != "answer" else [])]

    def note(self, line: str) -> None:
        """Append a line to the log, whole, whatever happens next."""
        if self._log is not None:
            log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(log, f"{line}\n".encode())
            os.close(log)


@contextlib.contextmanager
def folder(index: int, input: Any) -> Iterator[str]:
    """An environment that does not outlive its process."""
    with tempfile.TemporaryDirectory(prefix="world-") as home:
        yield home


def graph_of(job: dict[str, Any], script: Script, saver: Any) -> Any:
    """START -> steps before -> solve (-> tools) -> after."""
    variant, tools = job["variant"], script.tools()
    options: dict[str, Any] = {"n": job["n"], "selection_key": "receipt", "on_uncertain": job["on_uncertain"]}
    if variant not in ("answer", "route"):
        options["on_commit"] = "execute"
    options |= STOPPING.get(variant, {})
    if variant in TWICE:
        options["continue_after_commit"] = True
    elif variant == "world":
        options["environment"] = folder
    elif variant == "copies":
        options["environment"] = copies = SQLiteCopies(job["database"])
        options["promote"] = copies.promote
    agent = create_agent(ScriptedChatModel(script.reply), tools)
    builder = StateGraph(State)
    steps = [f"before {i}" for i in range(job["steps"])]
    for step in steps:
        builder.add_node(step, lambda state: {})
    builder.add_node("solve", best_of_n(agent, **options))
    builder.add_node("after", lambda state: time.sleep(0.002))
    for start, end in zip([START, *steps], [*steps, "solve"], strict=True):
        builder.add_edge(start, end)
    if variant == "route":
        builder.add_node("tools", CommitToolNode(tools, on_uncertain=job["on_uncertain"]))
        builder.add_edge("solve", "tools")
        builder.add_edge("tools", "after")
    else:
        builder.add_edge("solve", "after")
    return builder.compile(checkpointer=saver)


QUESTION = {"messages": [HumanMessage("go")]}


def run(job: dict[str, Any], ready: Callable[[], None]) -> dict[str, Any]:
    """Go on with the thread, or begin where nothing of it is known."""
    script = Script(job)
    config = {"configurable": {"thread_id": job["thread"]}}
    pauses = [job["pause"]] if job.get("pause") else None

    def input_of(state: Any) -> Any:
        anew = state.created_at is None
        script.note("anew" if anew else "resumed")
        return QUESTION if anew else None

    def sync() -> Any:
        with opened(job["saver"], job["where"]) as saver:
            graph = graph_of(job, script, saver)
            ready()
            question = input_of(graph.get_state(config))
            return graph.invoke(question, config, durability=job["durability"], interrupt_before=pauses)

    async def wait() -> Any:
        async with aopened(job["saver"], job["where"]) as saver:
            graph = graph_of(job, script, saver)
            ready()
            question = input_of(await graph.aget_state(config))
            return await graph.ainvoke(question, config, durability=job["durability"], interrupt_before=pauses)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            state = sync() if job["api"] == "sync" else asyncio.run(wait())
        except CommitUncertain as error:
            return {"status": "uncertain", "key": error.key, "said": str(error)}
        except CommitError as error:
            return {"status": "refused", "said": str(error)}
    if "receipt" not in state:
        return {"status": "paused"}
    gone = time.monotonic() + 5
    while threading.active_count() > 1 and time.monotonic() < gone:  # aiosqlite does not wait for its own
        time.sleep(0.001)
    receipts = [*state["receipt"]["earlier"], state["receipt"]]
    return {
        "status": "done",
        "said": [[m.type, m.content, [[c["name"], c["args"]] for c in getattr(m, "tool_calls", [])]]
                 for m in state["messages"]],
        "chosen": [[receipt["winner"], receipt["order"] if job["variant"] != "cancel" else []] for receipt in receipts],
        "commits": [[c["tool"], c["args"]] for c in state["receipt"]["commits"]],
        "warned": sorted({w.category.__name__ for w in warned if w.category.__module__.startswith("ec_agent")}),
        "threads": [t.name for t in threading.enumerate() if t is not threading.main_thread()],
    }  # fmt: skip


@contextlib.contextmanager
def opened(kind: str, where: str) -> Iterator[Any]:
    """A saver of the sync API, or any that a look needs."""
    if kind == "memory":
        yield InMemorySaver()
    elif kind == "sqlite":
        with contextlib.closing(sqlite3.connect(where, check_same_thread=False, timeout=30)) as connection:
            yield SqliteSaver(connection)
    else:
        from langgraph.checkpoint.postgres import PostgresSaver

        with PostgresSaver.from_conn_string(where) as saver:
            yield saver


@contextlib.asynccontextmanager
async def aopened(kind: str, where: str) -> Any:
    """A saver of the async API."""
    if kind == "memory":
        yield InMemorySaver()
    elif kind == "sqlite":
        async with AsyncSqliteSaver.from_conn_string(where) as saver:
            yield saver
    else:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        async with AsyncPostgresSaver.from_conn_string(where) as saver:
            yield saver


# Exact places


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(place: str, count: int, thread: str) -> None:
    """Have this process die at a place, when it gets there for the ``count``-th time; ``thread`` is the run's own."""
    left = [count]

    def reached() -> None:
        left[0] -= 1
        if not left[0]:
            die()

    def elsewhere(args: Any) -> None:
        if args[0]["configurable"]["thread_id"] != thread:
            reached()

    def intent(args: Any) -> None:
        if str(args[2]).startswith("intent ") and "step" not in args[1][0][1]:
            reached()

    if place in ("in the intent", "parked"):
        for saver, prefix in itertools.product(savers(), ("", "a")):
            if place == "parked":  # a stopped rollout is in the saver, its record is not
                patch(saver, f"{prefix}put", None, elsewhere)
            else:  # the intent's place in the saver is there, the intent is not
                patch(saver, f"{prefix}put_writes", intent, None)
        return
    name = "note" if "outcome" in place else "claim"

    def wanted(args: Any) -> None:
        if ("step" in args[2]) == ("step" in place):
            reached()

    before, after = (wanted, None) if place.startswith("before") else (None, wanted)
    patch(SaverJournal, name, before, after)
    patch(SaverJournal, f"a{name}", before, after)


def savers() -> list[type]:
    found: list[type] = [SqliteSaver, AsyncSqliteSaver]
    with contextlib.suppress(ImportError):
        from langgraph.checkpoint.postgres import PostgresSaver
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        found += [PostgresSaver, AsyncPostgresSaver]
    return found


def patch(owner: type, name: str, before: Callable[[Any], None] | None, after: Callable[[Any], None] | None) -> None:
    original = getattr(owner, name)

    def around(self: Any, *args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(args)
        value = original(self, *args, **kwargs)
        if after is not None:
            after(args)
        return value

    async def aaround(self: Any, *args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(args)
        value = await original(self, *args, **kwargs)
        if after is not None:
            after(args)
        return value

    setattr(owner, name, aaround if asyncio.iscoroutinefunction(original) else around)


def write_late(thread: str, seconds: float) -> None:
    """Have whatever the graph writes arrive late, but not the journal: a saver need not write in order."""

    def delay(args: Any) -> float:
        where = args[0]["configurable"]
        journal = str(where.get("checkpoint_ns", "")).startswith("ec_agent_commit")
        return 0 if journal or where["thread_id"] != thread else seconds

    for saver in savers():
        for name in ("put", "put_writes"):
            late, alate = getattr(saver, name), getattr(saver, f"a{name}")

            def slowly(self: Any, *args: Any, late: Any = late) -> Any:
                time.sleep(delay(args))
                return late(self, *args)

            async def aslowly(self: Any, *args: Any, alate: Any = alate) -> Any:
                await asyncio.sleep(delay(args))
                return await alate(self, *args)

            setattr(saver, name, slowly)
            setattr(saver, f"a{name}", aslowly)


# The parent of them all


def serve() -> None:
    """Fork a child for each line of JSON on standard input."""
    warm()
    assert threading.active_count() == 1
    gc.freeze()
    answers = sys.stdout.buffer
    for line in sys.stdin.buffer:
        answers.write(json.dumps(forked(json.loads(line))).encode() + b"\n")
        answers.flush()


def warm() -> None:
    for variant, api in (("route", "sync"), ("continue", "async")):
        job = {"variant": variant, "api": api, "n": 2, "seed": 0, "thread": "t", "log": None, "port": 1}
        job |= {"steps": 1, "on_uncertain": "raise", "saver": "memory", "where": "", "durability": "async"}
        with contextlib.suppress(ConnectionError):
            run(job, lambda: None)
    savers()


def forked(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job in a child; what it reports, or that it died first."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reads)
        child(job, writes)
    os.close(writes)
    begun = time.perf_counter()
    heard = b""
    killed = stuck = False
    deadline = begun + STUCK
    while True:
        left = deadline - time.perf_counter()
        if left <= 0 or not select.select([reads], [], [], left)[0]:
            stuck = killed or job.get("moment") is None or not heard
            if killed:
                break
            if stuck:
                os.kill(pid, signal.SIGABRT)  # faulthandler says where it was
            else:
                os.kill(pid, signal.SIGKILL)
            killed, deadline = True, time.perf_counter() + 5
            continue
        part = os.read(reads, 1 << 16)
        if not part:
            break
        if not heard:  # ready: the clock starts
            begun = time.perf_counter()
            deadline = begun + (STUCK if job.get("moment") is None else job["moment"])
        heard += part
    seconds = time.perf_counter() - begun
    os.close(reads)
    status = os.waitpid(pid, 0)[1]
    lines = heard.splitlines(keepends=True)
    report = json.loads(lines[1]) if len(lines) > 1 and lines[1].endswith(b"\n") else None
    if stuck and report is None:
        report = {"status": "error", "said": f"still running after {STUCK} s; see {job['home']}/stderr"}
    return {"report": report, "killed": os.WIFSIGNALED(status), "seconds": seconds}


def child(job: dict[str, Any], writes: int) -> None:
    try:
        errors = os.open(f"{job['home']}/stderr", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for standard in (1, 2):
            os.dup2(errors, standard)
        faulthandler.enable()
        tempfile.tempdir = os.environ["TMPDIR"] = job["temp"]
        if job.get("place"):
            die_at(job["place"], job["count"], job["thread"])
        if job.get("late"):
            write_late(job["thread"], job["late"])
        report = run(job, lambda: os.write(writes, b"ready\n") and None)
    except BaseException:
        report = {"status": "error", "said": traceback.format_exc(limit=-4)}
    with contextlib.suppress(BaseException):
        out = json.dumps(report).encode() + b"\n"
        while out:
            out = out[os.write(writes, out) :]
    os._exit(0)


if __name__ == "__main__":
    serve()
