"""What the tests of a prompted model ask: the price of a mug, by a tool that is called in text."""

from __future__ import annotations

from langchain_core.tools import tool

from ec_agent import read_only

STATE = {"messages": [("user", "price?")]}
STEP = '{"price_of": {"name": "mug"}}'
CALLING, ANSWERING = [1.5, 0.25, 0.5], [0.75, 2.0]


@read_only
@tool
def price_of(name: str) -> str:
    """The price."""
    return "4.50"
