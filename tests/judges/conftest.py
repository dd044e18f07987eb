from __future__ import annotations

import pytest
from fake_openai import FakeOpenAI

from ec_agent.capture.request_logprobs import forget


@pytest.fixture
def fake():
    """An endpoint; the ways of asking that an earlier one taught are forgotten."""
    forget()
    fake = FakeOpenAI()
    yield fake
    fake.close()
    forget()
