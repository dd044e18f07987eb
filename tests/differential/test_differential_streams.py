"""What a stream of the first turn shows of the winner: no less than of the agent alone, and no loser's word."""

from __future__ import annotations

import asyncio
import re

import diff_table
import pytest
from diff_allowed import FAILURE
from diff_cast import LOSER
from diff_gist import Gist, differences
from diff_ways import Stage
from langchain_core.messages import BaseMessage

ROWS = {
    name: row
    for name, row in diff_table.rows().items()
    if "alone" in row.ways and row.streams and FAILURE not in row.differs.get("alone", ())
}
MODES = ["values", "updates", "messages", "custom"]


def parts_of(row, wrapped):
    """The parts of the first turn's stream, by mode."""
    stage = Stage.of(row, "alone", wrapped)
    config = {**row.config, "configurable": {"thread_id": "thread"}}
    given = {"stream_mode": MODES, **({} if row.context is None else {"context": row.context})}
    runnable = stage.runnable.as_agent() if wrapped else stage.runnable

    async def collect():
        return [part async for part in runnable.astream(row.turns[0].input(), config, **given)]

    heard = list(runnable.stream(row.turns[0].input(), config, **given)) if row.sync else asyncio.run(collect())
    return {mode: [part for kind, part in heard if kind == mode] for mode in MODES}


@pytest.mark.members(8)
@pytest.mark.parametrize("name", ROWS)
def test_a_stream_shows_the_winner_as_the_agent_alone(name):
    alone, ours = parts_of(ROWS[name], wrapped=False), parts_of(ROWS[name], wrapped=True)
    for shown in (states, questions):
        found = list(differences(*(shown(Gist(), parts) for parts in (alone, ours))))
        assert not found, f"{name}: the {shown.__name__} of the stream differ, first at {found[0]}"
    if not paused(ours):
        new = {m.id for m in said(ours["values"][-1])} - {m.id for m in said(ours["values"][0])}
        updates = {message.id for part in ours["updates"] for update in part.values() for message in said(update)}
        assert new <= updates, f"{name}: not all that was said is in the updates"
        assert streamed(ours) >= streamed(alone), f"{name}: the stream of messages lacks something"
        whole = [message.id for message, _ in ours["messages"]]
        assert new <= set(whole), f"{name}: not all that was said is in the stream of messages"
        assert len(set(whole)) == len(whole), f"{name}: a message came twice"
    assert LOSER not in repr(ours), f"{name}: a loser's words are in the stream"
    kinds = {str(part.get("type")).split(".")[0] for part in ours["custom"]}
    assert kinds == {"ec_agent"}, f"{name}: in the custom stream is something else than progress and receipt"
    assert any(part["type"] == "ec_agent.selection" for part in ours["custom"]), f"{name}: no receipt in the stream"


def paused(parts):
    return any("__interrupt__" in part for part in parts["updates"])


def states(gist, parts):
    """The state at the beginning and at the end of the turn, less the end where it pauses half-way."""
    first, last = parts["values"][0], parts["values"][-1]
    return unparted(gist.of([first] if paused(parts) else [first, last]))


def unparted(told):
    """A message that came in parts has an id of another form than one that came as a whole."""
    if isinstance(told, dict):
        return {key: unparted(each) for key, each in told.items()}
    if isinstance(told, list):
        return [unparted(each) for each in told]
    return re.sub(r"(lc_run--<id \d+>)-0", r"\1", told) if isinstance(told, str) else told


def questions(gist, parts):
    """What is asked of people."""
    asked = [each for part in parts["updates"] for each in part.get("__interrupt__", ())]
    return sorted(gist.of(asked), key=repr)


def said(values):
    """The messages in the values of a state, or in a node's update, or in several of it."""
    if isinstance(values, list):
        return [message for each in values for message in said(each)]
    if isinstance(values, BaseMessage):
        return [values] if values.type != "remove" else []
    return [message for value in values.values() for message in said(value)] if isinstance(values, dict) else []


def streamed(parts):
    """The texts of messages that are in the state at the end and were streamed, in parts or as a whole."""
    told = {}
    for message, _ in parts["messages"]:
        told[message.id] = told.get(message.id, "") + str(message.content)
    return {str(Gist().of(told[message.id])) for message in said(parts["values"][-1]) if message.id in told}
