"""The definitions of the tables of a trace store.

A store holds one run, or recorded selections, or both. The table ``run`` has the settings of the run, and ``tasks`` its
tasks. ``selections`` has one row per recorded selection. ``rollouts`` has one row per finished rollout, of a task or of
a selection; ``calls`` has its LLM calls, and ``timelines`` the per-token signals of each call. A rollout is written
with its calls and timelines in one transaction. Rows are never changed, but a whole rollout can be deleted. One
exception: the questions of tasks are added when the run of an older store is continued.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from ec_agent.numbers.call_fields import LISTS_OF_A_CALL, PLAIN_FIELDS
from ec_agent.numbers.trajectory import Call
from ec_agent.support.from_plain import PlainField


@dataclass(frozen=True, slots=True)
class Types:
    """What the types of columns are called in a database.

    Attributes:
        whole: a whole number of 64 bits.
        real: a number of double precision.
        truth: true or false.
        text: text, ordered by the numbers of its characters.
        data: bytes.
        own: a number that the database gives to each row.
        never_again: a number that the database gives to each row, and gives to no other row ever.
        keyed: what stands after the definition of a table whose primary key is its place.
    """

    whole: str
    real: str
    truth: str
    text: str
    data: str
    own: str
    never_again: str
    keyed: str

    def of(self, kind: type) -> str:
        """Return the type of a column for values of a Python type."""
        return {int: self.whole, bool: self.truth, float: self.real, str: self.text}[kind]

    def literal(self, value: str | float) -> str:
        """Return a value as it stands in SQL."""
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        return str(value).upper() if isinstance(value, bool) and self.truth != self.whole else str(value + 0)


def _columns_of_a_call(types: Types) -> str:
    """Return the definitions of the columns of ``calls``: one for each field of ``Call`` except signals, in its order.

    Lists are stored as JSON.
    """
    plain = {each.name: _column(each, types) for each in PLAIN_FIELDS}
    columns = {**dict.fromkeys(LISTS_OF_A_CALL, types.text), **plain}
    return ",\n    ".join(f"{each.name} {columns[each.name]}" for each in fields(Call) if each.name in columns)


def _column(field: PlainField, types: Types) -> str:
    kind = types.of(field.kind)
    if field.optional:
        return kind
    # SQLite demands a default if a column is added to a table that has rows, and a migration does that.
    return f"{kind} NOT NULL" if field.default is None else f"{kind} NOT NULL DEFAULT {types.literal(field.default)}"


def tables(types: Types) -> dict[str, str]:
    """Return the SQL that creates each table, by its name, in an order in which they can be made."""
    statements = _text(types).strip().split(";\n")
    return {statement.split()[2]: re.sub(" {2,}", " ", statement) for statement in statements}


def _text(types: Types) -> str:
    return f"""
CREATE TABLE run (
    name  {types.text} PRIMARY KEY,   -- of a setting
    value {types.text} NOT NULL       -- JSON
){types.keyed};
CREATE TABLE tasks (
    task        {types.text} PRIMARY KEY,
    place       {types.whole} NOT NULL,   -- in the order of the task file
    fingerprint {types.text} NOT NULL,      -- of what it asks
    question    {types.text},               -- NULL where not known
    expected    {types.text}
){types.keyed};
CREATE TABLE selections (
    id       {types.never_again},   -- not reused
    name     {types.text},                                -- what it was called
    recorded {types.real} NOT NULL,                       -- seconds since the epoch
    receipt  {types.text} NOT NULL                        -- JSON: Selection.to_dict()
);
CREATE TABLE rollouts (
    id               {types.own},
    task             {types.text} REFERENCES tasks,           -- one of these two: a run's rollout has a task,
    selection        {types.whole} REFERENCES selections,   -- a recorded candidate a selection
    kind             {types.text} NOT NULL CHECK (kind IN ('sample', 'greedy')),
    number           {types.whole} NOT NULL,     -- index among its rollouts of that kind, from 0
    seed             {types.whole},              -- NULL where none was given
    sampling         {types.text} NOT NULL,        -- JSON: the request parameters asked for
    unsampled_calls  {types.whole} NOT NULL,     -- calls to which they could not be applied
    started          {types.real} NOT NULL,        -- seconds since the epoch
    seconds          {types.real} NOT NULL,
    error            {types.text},                 -- what it failed with; NULL where it ended
    verdict          {types.real},                 -- 0 to 1; 0 where it failed; NULL where nobody judged
    final_action     {types.text} NOT NULL,        -- JSON
    model_calls      {types.whole} NOT NULL,
    tool_calls       {types.whole} NOT NULL,
    prompt_tokens    {types.whole} NOT NULL,
    cached_tokens    {types.whole} NOT NULL,
    generated_tokens {types.whole} NOT NULL,
    cached_answer_tokens {types.whole} NOT NULL DEFAULT 0,   -- of answers of an LLM cache: they cost nothing
    UNIQUE (task, kind, number),
    UNIQUE (selection, kind, number),
    CHECK ((task IS NULL) <> (selection IS NULL))
);
CREATE TABLE calls (
    rollout {types.whole} NOT NULL REFERENCES rollouts,
    place   {types.whole} NOT NULL,   -- in call-start order
    {_columns_of_a_call(types)},
    PRIMARY KEY (rollout, place)
){types.keyed};
CREATE TABLE timelines (
    rollout {types.whole} NOT NULL,
    place   {types.whole} NOT NULL,
    signal  {types.text} NOT NULL,            -- a name of ec_agent.numbers.signals.SIGNALS
    data    {types.data} NOT NULL,            -- little-endian float32, one a generated token, NaN where there is none
    PRIMARY KEY (rollout, place, signal),
    FOREIGN KEY (rollout, place) REFERENCES calls
){types.keyed}
"""
