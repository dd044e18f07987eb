from __future__ import annotations

from pathlib import Path

import pytest
from ray_cluster import running_cluster


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "run.db"


@pytest.fixture(scope="session")
def ray_cluster():
    """The address of a Ray cluster of one machine, one for the whole session."""
    with running_cluster(paths=[Path(__file__).parent]) as cluster:
        yield cluster.address
