from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The guards run small agents, which the rollouts' tests have.
sys.path.append(str(Path(__file__).parents[1] / "rollouts"))

import kit


@pytest.fixture(params=[kit.Sync, kit.Async], ids=["sync", "async"])
def run(request):
    """Drives everything twice: synchronously and asynchronously."""
    return request.param()
