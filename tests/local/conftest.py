from __future__ import annotations

import pytest
from endpoint import Endpoint

from ec_agent.local import LocalChatModel


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    endpoint.says("hello")
    yield endpoint
    endpoint.close()


@pytest.fixture
def model(endpoint):
    return LocalChatModel(base_url=endpoint.url, model="asked-model", timeout=5)
