from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Agents and scripts are those of the rollouts' room.
sys.path.append(str(Path(__file__).parents[1] / "rollouts"))


@pytest.fixture(params=["sync", "async"])
def run(request):
    """Drives everything twice: synchronously and asynchronously."""
    import kit

    return kit.Sync() if request.param == "sync" else kit.Async()
