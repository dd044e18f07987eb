"""Says in words how the run in a store differs from the run that was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ec_agent.errors import TraceError

_MOST_NAMED = 5


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each setting that differs.

    Args:
        there: the settings in the store.
        here: the settings asked for.
    """
    names = dict.fromkeys([*there, *here])
    changed = [name for name in names if there.get(name) != here.get(name)]
    return [f"{name} was {there.get(name)!r}, and is {here.get(name)!r} now" for name in changed]


def other_tasks(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Return one sentence each for tasks that are gone, are new, or have another fingerprint.

    Args:
        there: the tasks in the store, id and fingerprint.
        here: the tasks asked for.
    """
    lines = []
    for what, ids in (
        ("tasks are gone", [task for task in there if task not in here]),
        ("tasks are new", [task for task in here if task not in there]),
        ("tasks ask something else", [task for task in here if task in there and there[task] != here[task]]),
    ):
        if ids:
            named = ", ".join(repr(task) for task in ids[:_MOST_NAMED])
            lines.append(f"{len(ids)} {what}: {named}{' ...' if len(ids) > _MOST_NAMED else ''}")
    return lines


REPEAT = "Repeat that run's own command to go on with it, name another file, or start over with --fresh"


def see_same_run(
    name: str,
    there: tuple[Mapping[str, Any], Mapping[str, str]],
    here: tuple[Mapping[str, Any], Mapping[str, str]],
    advice: str = REPEAT,
) -> None:
    """Check that the run in a store is the one that was asked for.

    Args:
        name: name of the store.
        there: the settings and the tasks in the store.
        here: the settings and the tasks asked for.
        advice: what to do if they differ.

    Raises:
        TraceError: they differ. The message lists the differences.
    """
    changed = differences(there[0], json.loads(json.dumps(dict(here[0]))))
    changed += other_tasks(there[1], here[1])
    if changed:
        raise TraceError(f"{name} holds another run:\n" + "\n".join(f"  {line}" for line in changed) + f"\n{advice}")
