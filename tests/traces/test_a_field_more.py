"""A call's fields and the receipt's columns are listed once: one that is added there is kept by everything.

The package is copied, a few lines are added to the two classes, and the copy is used in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from stored_rollouts import FULL

import ec_agent
from ec_agent import TraceStore
from ec_agent.numbers.call_fields import LISTS_OF_A_CALL, PLAIN_FIELDS, SIGNALS_OF_A_CALL, pack_calls
from ec_agent.numbers.trajectory import Call
from ec_agent.traces.stored import VERSION

HERE, HOUSE = Path(__file__).parent, Path(ec_agent.__file__).parent
MORE = {  # field of a call -> its type, its default, and what it is in a call made below
    "refusals": ("int", 0, 3),
    "cost": ("float | None", None, 0.25),
    "region": ("str | None", None, "north"),
    "tier": ("str", "it's usual", "fast"),
    "warm": ("bool", False, True),
}
ADDED = {
    "numbers/trajectory.py": (
        "    beside: int = 0\n",
        "".join(f"    {name}: {kind} = {default!r}\n" for name, (kind, default, _) in MORE.items()),
    ),
    "rollouts/selection.py": (
        "    unplaced_tokens: int = 0\n",
        "    longest_call: int = 0\n    temperatures: Any = None\n",  # the second is a fact that capture tells
        "    saved_tokens: int | None = 0\n",
        "    longest: int | None = None\n    mood: str = 'calm'\n",
    ),
    "rollouts/choosing.py": (
        "        unplaced_tokens=trajectory.unplaced_tokens,\n",
        "        longest_call=max(call.tokens or 0 for call in trajectory.calls),\n",
        "        undeclared_tools=tuple(undeclared),\n",
        "        longest=max(len(candidate.trajectory) for candidate in candidates),\n",
    ),
}
PROGRAM = """
import json, sqlite3, sys
from dataclasses import replace
from pathlib import Path
import pyarrow.parquet as pq
from langchain.agents import create_agent
from stored_rollouts import FULL, SETTINGS, TASKS, rollout
import ec_agent
from ec_agent import Selection, TraceStore, best_of_n
from ec_agent.cli.traces_show import rollout_plain
from ec_agent.logs.spool import Spool
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.call_fields import pack_calls, unpack_calls
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.tracing.attributes import candidate, selection
from ec_agent.traces.parquet import export_parquet

more, packed_before, old = json.loads(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
of = lambda call: {name: getattr(call, name) for name in more}
given = Trajectory([replace(FULL.calls[0], **more), *FULL.calls[1:]])
told = {"house": ec_agent.__file__}
told["checkpoint"] = of(unpack_calls(pack_calls(given)).calls[0])
with Spool() as spool:
    spool.add("rollout", "0", given.calls[0])
    ((_, _, spooled),) = spool.rollouts()
told["spool"] = of(spooled.calls[0])
for call in packed_before:
    call["entropies"], call["signals"] = bytes.fromhex(call["entropies"]), {}
told["older checkpoint"] = of(unpack_calls(packed_before).calls[0])
with TraceStore(old) as store:
    told["older file"] = [of(call) for one in store.rollouts("a") for call in one.trajectory.calls]
with TraceStore(old.with_name("new.db"), create=True) as store:
    store.begin(SETTINGS, TASKS)
    store.add(rollout(trajectory=given))
    (back,) = store.rollouts("a")
    told["file"] = of(back.trajectory.calls[0])
    told["json"] = {name: rollout_plain(back, HEPConfig())["calls"][0][name] for name in more}
    export_parquet(store, old.with_name("tables"))
    row = pq.read_table(old.with_name("tables") / "calls.parquet").to_pylist()[0]
    told["parquet"] = {name: row[name] for name in more}
    model = ScriptedChatModel([[Reply("a b", entropies=[1.0, 0.5])], [Reply("a", entropies=[1.0])]])
    result = best_of_n(create_agent(model, []), n=2).run({"messages": "?"})
    kept = store.selection(store.record(result)).receipt
column = lambda receipt: [(each.longest_call, each.temperatures) for each in receipt.candidates]
told["receipts"] = [column(result.selection), column(Selection.from_dict(result.selection.to_dict())), column(kept)]
told["span"] = candidate(result.selection.to_dict()["candidates"][0], 0)["ec_agent.rollout.longest_call"]
of_all = lambda held: [held("longest"), held("mood")]
told["of all"] = [of_all(lambda name: getattr(each, name)) for each in (result.selection, kept)]
told["of all"].append(of_all(lambda name: selection(result.selection.to_dict())[f"ec_agent.selection.{name}"]))
with TraceStore(old.with_name("new.db")) as store:
    export_parquet(store, old.with_name("more"))
(row,) = pq.read_table(old.with_name("more") / "selections.parquet").to_pylist()
told["of all"].append(of_all(row.get))
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the copy with more fields says of them."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(HOUSE, folder / "ec_agent", ignore=shutil.ignore_patterns("__pycache__"))
    for name, lines in ADDED.items():
        path = folder / "ec_agent" / name
        for line, more in zip(lines[::2], lines[1::2], strict=True):
            assert path.read_text().count(line) == 1, f"{line!r} of {name} is the place where this test adds a line"
            path.write_text(path.read_text().replace(line, line + more))
    version = folder / "ec_agent" / "traces" / "stored.py"
    version.write_text(version.read_text().replace(f"VERSION = {VERSION}", f"VERSION = {VERSION + 1}"))
    with TraceStore(shutil.copy(HERE / "data" / f"version_{VERSION - 1}.db", folder / "old.db")):
        pass  # of this version now
    before = [{**each, "entropies": each["entropies"].hex(), "signals": {}} for each in pack_calls(FULL)]
    values = json.dumps({name: value for name, (_, _, value) in MORE.items()})
    words = [sys.executable, "-c", PROGRAM, values, json.dumps(before), str(folder / "old.db")]
    paths = {"PYTHONPATH": os.pathsep.join([str(folder), str(HERE)])}
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env={**os.environ, **paths}, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert Path(said["house"]).parent == folder / "ec_agent"
    return said


@pytest.mark.parametrize("kept", ["checkpoint", "file", "json", "parquet", "spool"])
def test_a_new_field_of_a_call_is_kept_by(kept, told):
    assert told[kept] == {name: value for name, (_, _, value) in MORE.items()}


@pytest.mark.parametrize("older", ["older checkpoint", "older file"])
def test_older_data_gets_the_default_of_a_new_field(older, told):
    found = told[older] if isinstance(told[older], list) else [told[older]]
    assert found
    for call in found:
        assert call == {name: default for name, (_, default, _) in MORE.items()}


def test_a_new_receipt_column_is_stored_and_read(told):
    assert told["receipts"] == [[[2, []], [1, []]]] * 3  # nobody set a temperature
    assert told["span"] == 2


def test_a_new_column_about_all_rollouts_is_in_files_spans_and_tables(told):
    assert told["of all"] == [[2, "calm"]] * 4


def test_every_field_of_a_call_is_stored():
    plain = {each.name for each in PLAIN_FIELDS}
    own = {*SIGNALS_OF_A_CALL, *LISTS_OF_A_CALL}
    assert plain | own == {each.name for each in fields(Call)}
    assert not plain & own
