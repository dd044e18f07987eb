from __future__ import annotations

import kit
import pytest


@pytest.fixture(params=[kit.Sync, kit.Async], ids=["sync", "async"])
def run(request):
    """Drives everything twice: synchronously and asynchronously."""
    return request.param()
