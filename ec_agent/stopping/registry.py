"""The stopping plans of this package, by name."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from types import MappingProxyType
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.selectors.normalizers import with_normalizer
from ec_agent.selectors.registry import selector_named
from ec_agent.stopping.agreement import Agreement
from ec_agent.stopping.base import StoppingPlan
from ec_agent.stopping.beta import Beta
from ec_agent.stopping.out_of_reach import OutOfReach
from ec_agent.stopping.score_threshold import ScoreThreshold
from ec_agent.stopping.wave_plan import WavePlan
from ec_agent.support.checks import repr_of, text

PLANS: Mapping[str, type[WavePlan]] = MappingProxyType(
    {kind.label: kind for kind in (OutOfReach, Agreement, Beta, ScoreThreshold)}
)
"""Name of a plan -> its class, in the order in which tables list them."""


def plan_named(name: str, **settings: Any) -> StoppingPlan:
    """Make a stopping plan by its name.

    Args:
        name: a name in ``PLANS``.
        **settings: settings that differ from the defaults, such as ``waves=[4, 1]``. A ``selector`` or ``normalize``
            among them may be a name in ``SELECTORS`` or ``NORMALIZERS``, or a dict of ``name`` and its settings.

    Raises:
        ConfigError: no plan has this name, the plan has no such setting, or a setting is out of range.
    """
    kind = PLANS.get(text("the name of a stopping plan", name))
    if kind is None:
        raise ConfigError(f"unknown stopping plan {repr_of(name)}; the plans are {', '.join(PLANS)}")
    selector = settings.get("selector")
    if isinstance(selector, str):
        settings["selector"] = selector_named(selector)
    elif isinstance(selector, Mapping) and "name" in selector:
        settings["selector"] = selector_named(**selector)
    try:
        return kind(**with_normalizer(settings))
    except TypeError as error:
        known = ", ".join(signature(kind).parameters)
        raise ConfigError(f"{name} cannot be made with {settings!r} ({error}); its settings are {known}") from error
