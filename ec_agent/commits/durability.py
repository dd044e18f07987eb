"""Make sure that a decision is saved before it is acted on: a run that is killed must not decide and act again."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ec_agent.errors import CommitError, DurabilityWarning
from ec_agent.insides.langgraph import DURABILITY, checkpoints_of, saver_of
from ec_agent.support.plans import Plan, call, pause

_LOOKS = 100  # times to look for a checkpoint, 50 ms apart: 5 seconds in all


def written_down(config: Mapping[str, Any]) -> Plan[None]:
    """Wait until the checkpoints that led to this task are saved.

    With durability "async", LangGraph saves them while the next step already runs. Acting before they are saved is
    unsafe: if the process were killed, the resumed run could choose another winner and act a second time.

    Raises:
        CommitError: a checkpoint is not saved within 5 seconds.
    """
    saver, conf = saver_of(config), config.get("configurable") or {}
    if saver is None or conf.get(DURABILITY) == "exit":  # nothing is saved before the end of such a run
        return
    for namespace, checkpoint in checkpoints_of(conf).items():
        place = {
            "configurable": {
                "thread_id": conf.get("thread_id"),
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint,
            }
        }
        for _ in range(_LOOKS):
            if (yield call(saver, "get_tuple", place)) is not None:
                break
            yield pause(0.05)
        else:
            raise CommitError(
                f"the checkpoint {checkpoint} of thread {conf.get('thread_id')!r} was not written, so nothing was "
                "carried out; find out why the checkpointer does not write, then resume the run"
            )


def warn_of_exit(config: Mapping[str, Any], commits: bool) -> None:
    """Warn where the run has durability "exit": nothing is saved before its end, so a kill loses all rollouts."""
    conf = config.get("configurable") or {}
    if saver_of(config) is not None and conf.get(DURABILITY) == "exit":
        lost = "a kill loses every rollout" + (", and a resumed run may commit again" if commits else "")
        warnings.warn(
            f'durability="exit" writes nothing before the run ends: {lost}; run with durability="sync" or "async"',
            DurabilityWarning,
            stacklevel=2,
        )
