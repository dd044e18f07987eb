"""A small shop: its products in an embedded SQLite database, and two tools that read it."""

from __future__ import annotations

import re
import sqlite3
import threading
from functools import lru_cache
from typing import Annotated, NamedTuple

from langchain_core.tools import tool

from ec_agent import read_only
from ec_agent.support.escaping import clipped
from tools.schema import shaped

# name, price in euros, weight in grams, pieces in stock
PRODUCTS = (
    ("basket", 12.40, 540, 31),
    ("blanket", 39.00, 1450, 17),
    ("bowl", 7.20, 480, 75),
    ("candle", 3.80, 210, 200),
    ("clock", 35.00, 650, 9),
    ("cushion", 14.60, 430, 52),
    ("lamp", 28.00, 1200, 14),
    ("mirror", 49.00, 2300, 6),
    ("mug", 4.50, 350, 120),
    ("teapot", 19.50, 820, 18),
    ("tray", 9.90, 610, 40),
    ("vase", 16.90, 900, 22),
)

MAX_LENGTH = 400  # characters of an argument

# The patterns guide a model that is held to them; anything else gets an ``Error:`` line, not a validation error.
_PART = r"([1-9][0-9]* g|[1-9] [a-z]+)"
_COUNTED = re.compile(r"[0-9]{1,6} [a-z]+")
Parcel = Annotated[
    str,
    *shaped(rf"^{_PART}( \+ {_PART})*$", "such as 3 mugs + 2 lamps, or 1050 g + 2 lamps"),
]
Name = Annotated[str, *shaped(r"^[a-z]+$", "such as mug")]


class Product(NamedTuple):
    """One product: its price in euros, its weight in grams, the pieces in stock."""

    name: str
    price: float
    weight: int
    stock: int


@read_only
@tool
def product(name: Name) -> str:
    """Look up a product's price, weight and stock.

    Returns:
        One line, or a line starting ``Error:`` where the shop has no such product.
    """
    found = find_product(name)
    if found is None:
        known = ", ".join(item[0] for item in PRODUCTS)
        return f"Error: the shop has no {clipped(name[:MAX_LENGTH], 60)}. It has: {known}."
    return f"{found.name}: {found.price:.2f} euros, {found.weight} g, {found.stock} in stock"


@read_only
@tool
def weigh(parcel: Parcel) -> str:
    """Put the next products of a parcel on the scales.

    The result repeats the parcel with its weight so far in place of what was weighed. It carries all the state, so
    that an agent with a small model needs to remember nothing and rollouts share nothing.

    Args:
        parcel: parts joined by `` + ``: a weight so far, products with their number; at most 400 characters.

    Returns:
        ``Parcel: 1050 g + 2 lamps`` while products are left, then ``Weight: 3450 g``, or a line starting ``Error:``.
    """
    if len(parcel) > MAX_LENGTH:
        return f"Error: the parcel has {len(parcel)} characters; give at most {MAX_LENGTH}."
    grams = 0
    parts = [part.strip(" ") for part in parcel.split(" + ")]
    if not all(_COUNTED.fullmatch(part) for part in parts):
        return "Error: write a parcel like 3 mugs + 2 lamps."
    while parts:
        number, name = _counted(parts.pop(0))
        if name == "g":
            grams += number
            continue
        found = find_product(name)
        if found is None:
            return f"Error: the shop has no {clipped(name, 60)}."
        grams += number * found.weight
        break
    return f"Parcel: {' + '.join([f'{grams} g', *parts])}" if parts else f"Weight: {grams} g"


def _counted(part: str) -> tuple[int, str]:
    number, name = part.split(" ")
    return int(number), name


def find_product(name: str) -> Product | None:
    """The product of that name, in the singular or the plural; ``None`` where there is none."""
    if not re.fullmatch("[a-z]+", name):  # SQLite refuses what is no text, such as half of a surrogate pair
        return None
    with _lock:
        row = (
            _database()
            .execute(
                "SELECT name, price, weight, stock FROM products WHERE name = :name OR name || 's' = :name",
                {"name": name},
            )
            .fetchone()
        )
    return None if row is None else Product(*row)


_lock = threading.Lock()


@lru_cache(maxsize=1)
def _database() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", check_same_thread=False)  # one for all threads, guarded by the lock
    database.execute("CREATE TABLE products (name TEXT PRIMARY KEY, price REAL, weight INTEGER, stock INTEGER)")
    database.executemany("INSERT INTO products VALUES (?, ?, ?, ?)", PRODUCTS)
    database.commit()
    database.execute("PRAGMA query_only = ON")
    return database
