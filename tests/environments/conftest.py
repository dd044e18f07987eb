"""Where the shop and its copies are."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("shops")  # its asserts are the tests' own

from shops import make  # noqa: E402


@pytest.fixture
def kept(tmp_path):
    """Where copies are kept; whatever a test does, nothing may be left in it."""
    directory = tmp_path / "kept"
    directory.mkdir()
    yield directory
    assert list(directory.iterdir()) == []


@pytest.fixture
def shop(tmp_path, kept):
    return make(tmp_path / "shop ?#%41.db")
