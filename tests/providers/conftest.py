from __future__ import annotations

import pytest
from wire import Server


@pytest.fixture(scope="session")
def _one_server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(_one_server):
    """The server, with nothing asked yet."""
    _one_server.asked.clear()
    return _one_server
