"""The documentation's matrix is the table that the tests drive."""

from __future__ import annotations

import ast

from matrix import PAGE, VERSIONS, page
from table import ROWS


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/providers/matrix.py"


def test_the_page_names_the_version_of_every_integration():
    assert {row.integration.partition(".")[0].replace("_", "-") for row in ROWS} == set(VERSIONS)


def test_the_readme_counts_them():
    readme = PAGE.parents[1] / "README.md"
    assert f"{len(ROWS)} provider and integration pairs" in readme.read_text(encoding="utf-8")


def test_the_page_shows_every_rows_code_unchanged():
    blocks = [ast.dump(ast.parse(block.split("```")[0])) for block in page().split("```python")[1:]]
    assert blocks == [ast.dump(ast.parse(row.code)) for row in ROWS]
