from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from tools import product, shop, weigh


@pytest.mark.parametrize("name", ["mug", "mugs"])
def test_a_product(name):
    assert product.invoke({"name": name}) == "mug: 4.50 euros, 350 g, 120 in stock"


@pytest.mark.parametrize("name", ["dog", "", "x' OR '1'='1", "mug; DROP TABLE products"])
def test_no_such_product(name):
    answer = product.invoke({"name": name})
    assert answer.startswith("Error: the shop has no")
    assert "teapot" in answer


def test_the_database_is_read_only():
    shop.find_product("mug")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        shop._database().execute("DELETE FROM products")


def test_threads_share_it():
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(shop.find_product, [row[0] for row in shop.PRODUCTS] * 50))
    assert found == [shop.Product(*row) for row in shop.PRODUCTS] * 50


@pytest.mark.parametrize(
    ("parcel", "result"),
    [
        ("3 mugs + 2 lamps + 4 teapots", "Parcel: 1050 g + 2 lamps + 4 teapots"),
        ("1050 g + 2 lamps + 4 teapots", "Parcel: 3450 g + 4 teapots"),
        ("3450 g + 4 teapots", "Weight: 6730 g"),
        ("6730 g", "Weight: 6730 g"),
        ("1 mug", "Weight: 350 g"),
        ("1 g + 2 g + 2 vases + 1 tray", "Parcel: 1803 g + 1 tray"),
        ("3 dogs + 1 mug", "Error: the shop has no dogs."),
        ("mugs", "Error: write a parcel like 3 mugs + 2 lamps."),
        ("", "Error: write a parcel like 3 mugs + 2 lamps."),
    ],
)
def test_weighing_carries_the_state(parcel, result):
    assert weigh.invoke({"parcel": parcel}) == result
