"""Whether what was decided would survive a kill."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ec_agent.errors import CommitError, DurabilityWarning
from ec_agent.insides.langgraph import DURABILITY, checkpoints_of, saver_of
from ec_agent.support.plans import Plan, call, pause

_PATIENCE = 100


def written_down(config: Mapping[str, Any]) -> Plan[None]:
    """Wait until the decision taken in this task would survive a kill.

    With durability "async" the checkpoints of the steps that led here may still be on their way.

    Raises:
        CommitError: they do not arrive.
    """
    saver, conf = saver_of(config), config.get("configurable") or {}
    if saver is None or conf.get(DURABILITY) == "exit":
        return
    for namespace, checkpoint in checkpoints_of(conf).items():
        place = {
            "configurable": {
                "thread_id": conf.get("thread_id"),
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint,
            }
        }
        for _ in range(_PATIENCE):
            if (yield call(saver, "get_tuple", place)) is not None:
                break
            yield pause(0.05)
        else:
            raise CommitError(
                f"the checkpoint {checkpoint} of thread {conf.get('thread_id')!r} was not written, so nothing was "
                "carried out; see why the checkpointer does not write"
            )


def warn_of_exit(config: Mapping[str, Any], commits: bool) -> None:
    """Say what durability "exit" gives up."""
    conf = config.get("configurable") or {}
    if saver_of(config) is not None and conf.get(DURABILITY) == "exit":
        lost = "a kill loses every rollout" + (", and a resumed run may commit again" if commits else "")
        warnings.warn(
            f'durability="exit" writes nothing before the run ends: {lost}; run with durability="sync" or "async"',
            DurabilityWarning,
            stacklevel=2,
        )
