"""Whatever text a model gives a tool: one short printable line, at once, and an ``Error:`` where it is no argument."""

from __future__ import annotations

import time

import pytest

from graphs.agent import TOOLS
from tools import calculate, convert, product, weigh

ODD = ["", "\ud800", "\x00", "1 g\n2 g", "mug; lamp", "mug\n", "1 mug +\n2 lamps", "\x1b[31m", "1 \ud800 + 2 mugs"]
HUGE = ["x" * 10**6, "1 g + " * 10**5, "1 + " * 10**5, "9" * 10**6, "(" * 10**6, "1 " + "m^9*" * 10**5, " " * 10**6]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
@pytest.mark.parametrize("text", [*ODD, *HUGE], ids=range(len(ODD) + len(HUGE)))
def test_odd_text(tool, text):
    convert.invoke({"quantity": "1 g", "to": "kg"})  # reading the units takes its time once
    started = time.perf_counter()
    answer = tool.invoke(dict.fromkeys(tool.args, text))
    assert time.perf_counter() - started < 2
    assert answer.startswith("Error:")
    assert answer.isprintable()
    assert len(answer) < 500


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (weigh, {"parcel": "1 mug + 2 lamps; 3 mugs"}),
        (weigh, {"parcel": "1 mug + some lamps"}),
        (weigh, {"parcel": "9999999 mugs"}),
        (weigh, {"parcel": "\u0663 mugs"}),
        (product, {"name": "mug lamp"}),
        (convert, {"quantity": "1 g\n2", "to": "kg"}),
        (convert, {"quantity": "1 g; 2 g", "to": "kg"}),
        (convert, {"quantity": "1 g", "to": "kg\nkg"}),
        (calculate, {"expression": "1\n2"}),
    ],
)
def test_what_is_left_over_is_no_part_of_an_answer(tool, arguments):
    assert tool.invoke(arguments).startswith("Error:")


async def test_the_same_when_awaited():
    for tool in TOOLS:
        for text in ODD:
            arguments = dict.fromkeys(tool.args, text)
            assert await tool.ainvoke(arguments) == tool.invoke(arguments)
