"""Read and write stopping plans as on a command line: ``agreement:4,4``, ``agreement:2,2,4:threshold=0.75``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.selectors.normalizers import NORMALIZERS
from ec_agent.selectors.registry import SELECTORS
from ec_agent.stopping.asking import name_of
from ec_agent.stopping.base import StoppingPlan
from ec_agent.stopping.registry import PLANS, plan_named
from ec_agent.stopping.wave_plan import WavePlan
from ec_agent.support.checks import repr_of, text

HOW = "write a plan's name, its waves, its settings: agreement, agreement:4,4, agreement:2,2,4:threshold=0.75"


def plan_in(spelled: str) -> StoppingPlan:
    """Make the plan that is given on a command line.

    Args:
        spelled: a name in ``PLANS``, then, each after a colon, its waves and settings that differ from the defaults.

    Raises:
        ConfigError: no plan has this name, the plan has no such setting, or a value is out of range.
    """
    name, *parts = (
        part.strip() for part in text("a stopping plan", spelled, f"its name: {', '.join(PLANS)}").split(":")
    )
    settings: dict[str, Any] = {}
    for part in parts:
        key, sign, value = (each.strip() for each in part.partition("="))
        if not sign:
            key, value = "waves", part
        if not key or not value or key in settings:
            raise ConfigError(f"the stopping plan {repr_of(spelled)} cannot be read at {repr_of(part)}; {HOW}")
        settings[key] = _waves(value, spelled) if key == "waves" else _value(value)
    return plan_named(name, **settings)


def spelled(plan: StoppingPlan) -> str:
    """Return the plan as a command line gives it; if none can, its name in tables."""
    settings = settings_of(plan)
    if settings is None:
        return name_of(plan)
    waves = settings.pop("waves", None)
    for name, value in settings.items():
        if isinstance(value, Mapping):
            if len(value) > 1:  # it has settings of its own
                return name_of(plan)
            settings[name] = value["name"]
    numbers = ":" + ",".join(map(str, waves)) if waves else ""
    return str(settings.pop("name")) + numbers + "".join(f":{name}={value}" for name, value in settings.items())


def settings_of(plan: StoppingPlan) -> dict[str, Any] | None:
    """Return the arguments with which ``plan_named`` makes this plan, as plain JSON.

    ``None`` for a plan of your own, and for one with a function or a selector that has no name.
    """
    if not isinstance(plan, WavePlan) or PLANS.get(plan.label) is not type(plan):
        return None
    settings: dict[str, Any] = {"name": plan.label}
    for each in fields(plan):  # type: ignore[arg-type]  # they are dataclasses
        value = getattr(plan, each.name)
        usual = each.default_factory() if each.default_factory is not MISSING else each.default
        if value != usual:
            settings[each.name] = list(value) if isinstance(value, tuple) else _named(value)
    try:
        json.dumps(settings)
    except (TypeError, ValueError):
        return None
    return settings


def _named(value: Any) -> Any:
    """Return a selector or ``normalize`` of this package as its name and settings; any other value as it is."""
    label = str(getattr(value, "label", ""))
    if type(value) not in (SELECTORS.get(label), NORMALIZERS.get(label)):
        return value
    differ = {f.name: _named(v) for f in fields(value) if (v := getattr(value, f.name)) != f.default}
    return {"name": label, **differ}


def _waves(spelled: str, whole: str) -> list[int]:
    try:
        return [int(number) for number in spelled.split(",")]
    except ValueError as error:
        raise ConfigError(f"the stopping plan {repr_of(whole)} has waves {repr_of(spelled)}; {HOW}") from error


def _value(spelled: str) -> int | float | str:
    for kind in (int, float):  # a whole number stays one, for settings that are whole numbers
        try:
            return kind(spelled)
        except ValueError:
            continue
    return spelled
