"""Runs that are killed: a warmed process forks children, kills them with SIGKILL, and resumes what they left.

Used as a module by the tests, and run as a program by ``Warmed``: a process of its own, without threads or open
databases, so that a fork is safe and takes milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

THREAD = {"configurable": {"thread_id": "t"}}
PEAKS = (15, 3, 9, 12)
PLACES = ("before the intent", "before the delivery", "after the delivery", "after the outcome")


@dataclass(frozen=True)
class Scenario:
    """What runs, and how.

    Attributes:
        kind: ``"answer"``, ``"route"``, ``"execute"``, ``"continue"``, ``"world"`` (an environment that is gone after a
            kill) or ``"reopen"`` (one that is not).
        api: ``"sync"`` or ``"async"``.
        durability: LangGraph's.
        n: how many rollouts.
        retry: whether an uncertain commit is sent again.
        database: a folder for SQLite, or a PostgreSQL URI.
    """

    kind: str
    api: str
    durability: str
    n: int
    retry: bool = False
    database: str = "sqlite"


class Ledger:
    """An append-only file: what is in it happened, whoever was killed afterwards."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *words: Any) -> None:
        handle = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(handle, (json.dumps(words) + "\n").encode())
        os.close(handle)

    def read(self, kind: str | None = None) -> list[list[Any]]:
        lines = [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []
        return [line for line in lines if kind is None or line[0] == kind]


def make_graph(scenario: Scenario, home: Path, saver: Any) -> Any:
    """The outer graph: ``best_of_n`` and what follows it."""
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import tools_condition

    from ec_agent import CommitToolNode, best_of_n, get_idempotency_key
    from ec_agent.testing import Reply, ScriptedChatModel

    ledger = Ledger(home / "ledger")

    @tool
    def look(what: str) -> str:
        """Look something up."""
        return f"saw {what}"

    @tool
    def send(to: str) -> str:
        """Send something that must not be sent twice."""
        die(home, "before the delivery")
        ledger.write("deliver", get_idempotency_key(), to)
        die(home, "after the delivery")
        return f"sent to {to}"

    def script(messages: Any, index: int) -> Any:
        step = sum(message.type == "ai" for message in messages)
        ledger.write("ask", index, step)
        at = PEAKS[index % 4] if step < 2 else PEAKS[(index + step) % 4]
        entropies = [2.0 if i == at else 0.1 for i in range(20)]
        delay = 0.002 + 0.003 * ((index * 7 + step * 3) % 5)
        say = [("look", {"what": f"{index}"})], [("send", {"to": f"r{index}"})], [("send", {"to": f"s{index}"})]
        if scenario.kind == "answer":
            say = say[:1]
        return Reply(
            f"{step} by {index}", tool_calls=say[step] if step < len(say) else (), entropies=entropies, delay=delay
        )

    options: dict[str, Any] = {"commit": [send]} if scenario.kind != "answer" else {}
    if scenario.kind in ("execute", "continue"):
        options |= {"on_commit": "execute", "continue_after_commit": scenario.kind == "continue"}
    if scenario.kind in ("world", "reopen"):
        options |= {"on_commit": "execute", "environment": Worlds(home, scenario.kind == "reopen", ledger)}
        options |= {"promote": lambda world: ledger.write("promote", world.index)}
    uncertain: dict[str, Any] = {"on_uncertain": "retry" if scenario.retry else "raise"}

    class State(MessagesState):
        receipt: dict[str, Any]

    node = best_of_n(
        create_agent(ScriptedChatModel(script), [look, send]),
        n=scenario.n,
        selection_key="receipt",
        **options,
        **uncertain,
    )
    builder = StateGraph(State)
    builder.add_node("solve", node)
    builder.add_edge(START, "solve")
    if scenario.kind == "route":
        builder.add_node("tools", CommitToolNode([send], **uncertain))
        builder.add_conditional_edges("solve", tools_condition)
        builder.add_edge("tools", END)
    else:
        builder.add_edge("solve", END)
    return builder.compile(checkpointer=saver)


class World:
    """A folder of its own for a rollout."""

    def __init__(self, path: Path, index: int, token: str | None) -> None:
        self.path, self.index = path, index
        if token is not None:
            self.token = token


class Worlds:
    """A factory of them; with ``reopen`` one that finds them again."""

    def __init__(self, home: Path, reopens: bool, ledger: Ledger) -> None:
        self.home, self.ledger = home, ledger
        self.reopens = reopens
        if reopens:
            self.reopen = self._reopen

    @contextlib.contextmanager
    def __call__(self, index: int, input: Any) -> Any:
        path = self.home / f"world-{index}-{os.getpid()}-{time.monotonic_ns()}"
        path.mkdir()
        with self._left(World(path, index, f"{index} {path}" if self.reopens else None)) as world:
            yield world

    @contextlib.contextmanager
    def _reopen(self, token: str) -> Any:
        index, _, path = token.partition(" ")
        if not Path(path).is_dir():
            raise FileNotFoundError(path)
        with self._left(World(Path(path), int(index), token)) as world:
            yield world

    @contextlib.contextmanager
    def _left(self, world: World) -> Any:
        try:
            yield world
        finally:
            world.path.rmdir()


def die(home: Path, place: str) -> None:
    """Be killed here, if this run is to be killed here, once."""
    wanted = home / "place"
    if wanted.exists() and wanted.read_text() == place:
        wanted.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def watch_the_journal(home: Path) -> None:
    """Die before an intent, and after an outcome, where that is wanted."""
    from ec_agent.commits.journal import SaverJournal

    claim, note = SaverJournal._claim, SaverJournal._note

    def dying_claim(self: Any, *args: Any) -> Any:
        die(home, "before the intent")
        return (yield from claim(self, *args))

    def dying_note(self: Any, *args: Any) -> Any:
        yield from note(self, *args)
        die(home, "after the outcome")

    SaverJournal._claim, SaverJournal._note = dying_claim, dying_note  # type: ignore[method-assign]


@contextlib.contextmanager
def sync_saver(scenario: Scenario, home: Path) -> Any:
    if scenario.database != "sqlite":
        from langgraph.checkpoint.postgres import PostgresSaver

        with PostgresSaver.from_conn_string(scenario.database) as saver:
            saver.setup()
            yield saver
        return
    from langgraph.checkpoint.sqlite import SqliteSaver

    connection = sqlite3.connect(home / "checkpoints.sqlite", check_same_thread=False)
    yield SqliteSaver(connection)
    connection.close()


@contextlib.asynccontextmanager
async def async_saver(scenario: Scenario, home: Path) -> Any:
    if scenario.database != "sqlite":
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        async with AsyncPostgresSaver.from_conn_string(scenario.database) as saver:
            await saver.setup()
            yield saver
        return
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async with AsyncSqliteSaver.from_conn_string(str(home / "checkpoints.sqlite")) as saver:
        yield saver


def persisted(tuples: list[Any]) -> list[int]:
    """The rollouts whose records are in the checkpointer, waiting for the others."""
    inner = [found for found in tuples if found.config["configurable"]["checkpoint_ns"].startswith("solve:")]
    newest = max(inner, key=lambda found: found.checkpoint["id"], default=None)
    writes = newest.pending_writes if newest is not None else []
    return sorted(record["index"] for _, channel, value in writes or [] if channel == "records" for record in value)


def summary(values: Any) -> dict[str, Any]:
    """What must come out the same however often a run was killed."""
    receipt = values["receipt"]
    return {
        "messages": [
            [m.type, m.content, [(c["name"], c["args"]) for c in getattr(m, "tool_calls", [])]]
            for m in values["messages"]
        ],
        "winner": receipt["winner"],
        "order": receipt["order"],
        "winners before": [earlier["winner"] for earlier in receipt["earlier"]],
        "committed": [(commit["tool"], commit["args"]) for commit in receipt["commits"]],
    }


def attempt(scenario: Scenario, home: Path) -> dict[str, Any]:
    """Begin, or resume, and run to the end."""
    ledger = Ledger(home / "ledger")
    how: dict[str, Any] = {"durability": scenario.durability}

    def begin(tuples: list[Any]) -> Any:
        ledger.write("persisted", persisted(tuples))
        return None if tuples else {"messages": "go"}

    def left(tuples: list[Any]) -> list[str]:
        return sorted({found.config["configurable"]["thread_id"] for found in tuples})

    async def asynchronously() -> dict[str, Any]:
        async with async_saver(scenario, home) as saver:
            graph = make_graph(scenario, home, saver)
            here = begin([found async for found in saver.alist(None)])
            state = await graph.aget_state(THREAD)
            values = state.values if here is None and not state.next else await graph.ainvoke(here, THREAD, **how)
            return {"result": summary(values), "threads": left([found async for found in saver.alist(None)])}

    if scenario.api == "async":
        return asyncio.run(asynchronously())
    with sync_saver(scenario, home) as saver:
        graph = make_graph(scenario, home, saver)
        here = begin(list(saver.list(None)))
        state = graph.get_state(THREAD)
        values = state.values if here is None and not state.next else graph.invoke(here, THREAD, **how)
        return {"result": summary(values), "threads": left(list(saver.list(None)))}


def child(scenario: Scenario, home: Path) -> None:
    """One attempt, its end written down."""
    watch_the_journal(home)
    warnings.simplefilter("ignore")
    try:
        done = attempt(scenario, home)
    except Exception as error:
        done = {"error": type(error).__name__, "message": "".join(traceback.format_exception(error))}
    (home / "done.part").write_text(json.dumps(done))
    os.replace(home / "done.part", home / "done")


def forked(scenario: Scenario, home: Path, kill_after: float | None) -> dict[str, Any]:
    """Fork an attempt, and kill it after so many seconds unless it has ended."""
    (home / "done").unlink(missing_ok=True)
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        try:
            child(scenario, home)
        finally:
            os._exit(0)
    handle = os.pidfd_open(pid)
    try:
        select.select([handle], [], [], 60.0 if kill_after is None else kill_after)
    finally:
        os.close(handle)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    took = time.perf_counter() - started
    done = json.loads((home / "done").read_text()) if (home / "done").exists() else {"killed": True}
    return {**done, "seconds": took}


def serve() -> None:
    """Take orders from standard input, a JSON line each."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    make_graph(Scenario("route", "sync", "sync", 1), Path("/nonexistent"), SqliteSaver(sqlite3.connect(":memory:")))
    import langgraph.checkpoint.sqlite.aio  # noqa: F401  # imported here, so that no child has to

    with contextlib.suppress(ImportError):
        import langgraph.checkpoint.postgres.aio  # noqa: F401
    for line in sys.stdin:
        order = json.loads(line)
        done = forked(Scenario(**order["scenario"]), Path(order["home"]), order["kill_after"])
        print(json.dumps(done), flush=True)


class Warmed:
    """The process that forks the children."""

    def __enter__(self) -> Warmed:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, scenario: Scenario, home: Path, kill_after: float | None = None) -> dict[str, Any]:
        """One attempt; ``{"killed": True}`` if it did not come to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"scenario": asdict(scenario), "home": str(home), "kill_after": kill_after}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@dataclass
class Told:
    """What became of one run that was killed on its way.

    Attributes:
        kills: how often it was killed.
        end: ``"finished"`` or ``"uncertain"``.
        deliveries: how often something was delivered, as a receiver that knows keys counts.
    """

    kills: int
    end: str
    deliveries: int


def torment(
    warmed: Warmed, scenario: Scenario, home: Path, expected: dict[str, Any], rng: random.Random, place: str | None
) -> Told:
    """Run it, kill it up to three times, let it end, and hold it to the law."""
    home.mkdir()
    if place is not None:
        (home / "place").write_text(place)
    kills = 0
    times = [None] if place is not None else [rng.uniform(0.005, expected["seconds"]) for _ in range(rng.randint(1, 3))]
    for kill_after in [*times, None, None]:
        done = warmed.run(scenario, home, kill_after)
        if not done.get("killed"):
            break
        kills += 1
    ledger = Ledger(home / "ledger")
    delivered = [tuple(line[1:]) for line in ledger.read("deliver")]
    counted = len(set(delivered)) if scenario.retry else len(delivered)
    wanted = {"answer": 0, "continue": 2}.get(scenario.kind, 1)
    again = rerun(ledger.read())
    law(not done.get("killed"), "it never ended", done)
    if done.get("error") == "CommitUncertain" and not scenario.retry:
        law(counted <= wanted, f"{counted} deliveries", delivered)
        law(kills > 0, "uncertain without a kill", done)
        return Told(kills, "uncertain", counted)
    law("error" not in done, done.get("error", ""), done.get("message"))
    law(done["result"] == expected["result"], "another end", (done["result"], expected["result"]))
    law(done["threads"] == ["t"], "threads were left", done["threads"])
    if scenario.durability != "exit":
        law(counted == wanted, f"{counted} deliveries", delivered)
        law(not again or scenario.kind == "world", f"finished rollouts ran again: {again}", ledger.read())
    law(not list(home.glob("world-*")) or kills > 0, "environments were left", list(home.iterdir()))
    return Told(kills, "finished", counted)


def rerun(lines: list[list[Any]]) -> list[int]:
    """Rollouts that began afresh although their records were there."""
    there: list[int] = []
    again: list[int] = []
    for kind, *words in lines:
        if kind == "persisted":
            there = words[0]
        if kind == "ask" and words[1] == 0 and words[0] in there:
            again.append(words[0])
    return again


class Broken(AssertionError):
    """A law was broken."""


def law(holds: bool, what: str, shown: Any) -> None:
    if not holds:
        raise Broken(f"{what}: {shown}")


if __name__ == "__main__":
    serve()
