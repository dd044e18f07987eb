from __future__ import annotations

import pytest

from ec_agent.local import LocalServer


@pytest.fixture(scope="session")
def local_server():
    """The embedded model, served for the whole session; the first run ever fetches it."""
    with LocalServer() as server:
        yield server
