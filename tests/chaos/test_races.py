"""A few races of processes for one thread; ``long_form.py`` has three hundred."""

from __future__ import annotations

import chaos_races
import pytest
from chaos_harness import Mode


@pytest.fixture(scope="module")
def workers(request):
    try:
        uri = request.getfixturevalue("postgres")
    except pytest.skip.Exception:
        uri = None
    with chaos_races.racing(uri, racers=2) as racers:
        yield racers


@pytest.mark.whole_form("its processes take seconds to start; rollouts/test_commit_races.py has races in one process")
@pytest.mark.parametrize(
    "mode",
    [
        Mode("execute", "sync", "sync", "sqlite"),
        Mode("route", "async", "async", "sqlite"),
        Mode("continue", "sync", "async", "sqlite"),
        Mode("execute", "async", "sync", "postgres"),
        Mode("route", "sync", "async", "postgres"),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", ["short 0", "short 1"])
def test_of_processes_that_resume_one_thread_one_acts(workers, mode, seed):
    if mode.saver == "postgres" and workers[0].postgres is None:
        pytest.skip("no PostgreSQL")
    race = chaos_races.race(workers, mode, seed)
    assert not race.broken, str(race)
