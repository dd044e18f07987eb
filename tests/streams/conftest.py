from __future__ import annotations

import pytest
from stream_readers import Readers


@pytest.fixture(scope="session")
def readers():
    made = Readers()
    yield made
    made.close()
