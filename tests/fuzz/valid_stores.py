"""Valid arguments of what reads and writes files, evaluates, traces and watches."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz_cases import Case, finished
from valid_agents import model, quick
from valid_numbers import candidates, trajectory

from ec_agent import LowestCentroid, SQLiteCopies, TraceStore
from ec_agent.evaluation import BaseTask, RunSettings
from ec_agent.evaluation.run_settings import RunSettings as Settings
from ec_agent.live import Board
from ec_agent.local import LocalServer
from ec_agent.rollouts.best_of_n import BestOfNResult
from ec_agent.rollouts.settings_files import Setting, save_settings
from ec_agent.traces.stored import Key, StoredRollout, StoredSelection
from ec_agent.visual.chosen_anew import selection_of


class Asks(BaseTask):
    def verdict(self, outcome):
        return True


def database(folder):
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE things (name TEXT)")
    return path


def chosen():
    return BestOfNResult(None, selection_of(candidates(), LowestCentroid()), (trajectory(),) * 3, ("a", "b", "c"))


def rollout(key):
    usage = dict.fromkeys(("prompt_tokens", "cached_tokens", "generated_tokens"), 3)
    return StoredRollout(key, 0, {}, trajectory(), "x", 1.0, None, 0.0, 0.5, usage)


def store(folder):
    (folder / "traces.db").write_bytes(filled())
    return TraceStore(folder / "traces.db")


@cache
def filled():
    with TemporaryDirectory() as folder:
        filled_store(Path(folder)).close()
        return (Path(folder) / "traces.db").read_bytes()


def filled_store(folder):
    held = TraceStore(folder / "traces.db", create=True)
    settings = Settings(n=2, greedy=False)
    held.begin(settings.lasting(), {"t": "mark"})
    for key in settings.keys("t"):
        held.add(rollout(key))
    held.record(chosen())
    return held


def traces(folder):
    store(folder).close()
    return folder / "traces.db"


def settings_file(folder):
    save_settings(folder / "settings.json", Setting())
    return folder / "settings.json"


def lines(folder):
    path = folder / "log.jsonl"
    path.write_text(json.dumps({"entropies": [1.0, 0.1]}) + "\n", encoding="utf-8")
    return path


def tasks(folder):
    path = folder / "tasks.jsonl"
    path.write_text(json.dumps({"id": "a", "input": "2 + 2?", "expected": "4"}) + "\n", encoding="utf-8")
    return path


def evaluating(folder):
    return {
        "tasks": [Asks("t", "q")],
        "agent": quick,
        "path": folder / "run.db",
        "settings": RunSettings(n=1, greedy=False),
    }


EVALUATING = Case(evaluating, functions=frozenset(("agent", "on_progress", "on_event")))

STORES = {
    "ec_agent.SQLiteCopies": Case(lambda folder: {"path": database(folder)}, use=lambda made: finished(made(0, None))),
    "ec_agent.SQLiteCopies.reopen": Case(lambda _: {"token": "x"}, on=lambda folder: SQLiteCopies(database(folder))),
    "ec_agent.TraceStore": Case(
        lambda folder: {"path": folder / "t.db", "create": True}, use=lambda made: made.close()
    ),
    "ec_agent.TraceStore.record": Case(lambda _: {"result": chosen()}, on=store, told={"result": "cannot record"}),
    "ec_agent.TraceStore.recording": Case(on=store),
    "ec_agent.TraceStore.rollout": Case(lambda _: {"number": 1}, on=store, told={"number": "rollout"}),
    "ec_agent.TraceStore.selection": Case(lambda _: {"number": 1}, on=store, told={"number": "selection"}),
    "ec_agent.TraceStore.rollouts": Case(on=store),
    "ec_agent.TraceStore.candidates": Case(lambda _: {"selection": 1}, on=store),
    "ec_agent.TraceStore.keys": Case(lambda _: {"task": "t"}, on=store),
    "ec_agent.TraceStore.counts": Case(lambda _: {"samples": 4, "greedy": True}, on=store),
    "ec_agent.TraceStore.has": Case(lambda _: {"key": Key("t", "sample", 0)}, on=store),
    "ec_agent.TraceStore.add": Case(lambda _: {"rollout": rollout(Key("t", "sample", 0))}, on=store),
    "ec_agent.TraceStore.take": Case(
        lambda _: {
            "selection": StoredSelection(1, "kept", 1.0, chosen().selection),
            "rollouts": [rollout(Key("kept", "sample", 0))],
        },
        on=store,
    ),
    "ec_agent.TraceStore.forget_failed": Case(lambda _: {"tasks": ["t"]}, on=store),
    "ec_agent.TraceStore.begin": Case(
        lambda _: {"settings": Settings(n=2, greedy=False).lasting(), "tasks": {"t": "mark"}},
        on=store,
        told={"settings": "settings|run", "tasks": "task"},
    ),
    "ec_agent.TraceStore.amend": Case(lambda _: {"settings": {"a": 1}}, on=store),
    "ec_agent.Selection.from_dict": Case(
        lambda _: {"plain": chosen().selection.to_dict()}, told={"plain": "receipt"}, on=lambda _: chosen().selection
    ),
    "ec_agent.Selection.to_html": Case(on=lambda _: chosen().selection),
    "ec_agent.load_settings": Case(lambda folder: {"path": settings_file(folder)}),
    "ec_agent.rollouts.settings_files.save_settings": Case(
        lambda folder: {"path": folder / "s.json", "setting": Setting()}
    ),
    "ec_agent.evaluation.BaseTask": Case(
        lambda _: {"id": "t", "input": "q"},
        anything=frozenset(("id",)),  # looked at by evaluate, beside the others'
    ),
    "ec_agent.engines.RayEngine": Case(),
    "ec_agent.evaluation.RunSettings": Case(),
    "ec_agent.evaluation.evaluate": EVALUATING,
    "ec_agent.evaluation.aevaluate": replace(EVALUATING, twin=True),
    "ec_agent.evaluation.load_results": Case(lambda folder: {"path": traces(folder)}),
    "ec_agent.evaluation.iter_results": Case(lambda folder: {"path": traces(folder)}),
    "ec_agent.evaluation.adapters.load": Case(lambda _: {"name": "sums", "limit": 2}, told={"name": "source"}),
    "ec_agent.evaluation.jsonl.read_jsonl": Case(
        lambda folder: {"path": tasks(folder), "load_check": lambda place: None}
    ),
    "ec_agent.evaluation.model.ModelSettings": Case(
        lambda _: {"name": "m", "base_url": "http://127.0.0.1:9/v1"}, told={"base_url": "base"}
    ),
    "ec_agent.live.log": Case(lambda folder: {"path": folder / "events.jsonl"}),
    "ec_agent.live.view": Case(),
    "ec_agent.live.Board.hear": Case(lambda _: {"event": {}}, on=lambda _: Board()),
    "ec_agent.tracing.instrument": Case(),
    "ec_agent.tracing.flush": Case(),
    "ec_agent.logs.opened": Case(
        lambda folder: {"path": lines(folder)}, only=("path",), use=lambda source: source.head(10)
    ),
    "ec_agent.local.LocalServer": Case(lambda _: {}),
    "ec_agent.local.LocalServer.spread": Case(lambda _: {"request": {"messages": []}}, on=lambda _: LocalServer()),
    "ec_agent.doctor.preflight": Case(
        lambda _: {"models": [model()]}, told={"request_logprobs": "preflight|request_logprobs"}
    ),
}
