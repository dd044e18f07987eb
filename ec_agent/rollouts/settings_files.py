"""Settings files, for ``best_of_n``: a selector, its hyper-parameters and, if there are, a plan and a probability."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.numbers.phases import HEPConfig
from ec_agent.probability.fitted import FittedProbability
from ec_agent.selectors.base import Selector
from ec_agent.selectors.registry import selector_named
from ec_agent.stopping import StoppingPlan, plan_named
from ec_agent.stopping.asking import check_plan, name_of
from ec_agent.stopping.spelling import settings_of
from ec_agent.support.checks import cause_of, file_path, instance, mapping, or_none, text

VERSION = 1

_KEYS = ("ec_agent_settings", "selector", "config", "stop", "probability", "about")


@dataclass(frozen=True, slots=True)
class Setting:
    """A selector and its hyper-parameters.

    Attributes:
        selector: name of the selector in ``SELECTORS``.
        arguments: those settings of the selector that differ from the defaults.
        config: settings of the High Entropy Phases.

    Raises:
        ConfigError: an argument has the wrong type. Whether the selector exists is checked by ``build()``.
    """

    selector: str = "lowest_centroid"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    config: HEPConfig = field(default_factory=HEPConfig)

    def __post_init__(self) -> None:
        text("selector", self.selector)
        mapping("arguments", self.arguments, "a dict of the selector's settings")
        instance("config", self.config, HEPConfig, "HEPConfig(...)")

    def build(self) -> Selector:
        """Make the selector.

        Raises:
            ConfigError: there is no selector of that name, or it has no setting of that name.
        """
        return selector_named(self.selector, **self.arguments)

    def __str__(self) -> str:
        name = self.build().name
        if self.config == HEPConfig() and "centroid" not in self.selector:
            return name
        top, bottom, low = (f"{value:g}" for value in asdict(self.config).values())
        return f"{name} {top}/{bottom}/{low}"


def save_settings(
    path: str | Path,
    setting: Setting,
    about: Mapping[str, Any] | None = None,
    stop: StoppingPlan | None = None,
    probability: FittedProbability | None = None,
) -> None:
    """Write a setting to a JSON file.

    Args:
        path: the file. It is overwritten if it exists.
        setting: the setting to write.
        about: notes for people, such as where the setting comes from. ``load_settings`` does not read them.
        stop: a stopping plan to write with it, one of ``PLANS``.
        probability: a fitted probability to write with it. It must have been fitted for this selector and plan.

    Raises:
        ConfigError: the file cannot be written, the plan is none that a file can hold, or the probability was fitted
            for another selector or plan.
    """
    file = file_path("path", path)
    instance("setting", setting, Setting, "Setting(...)")
    plan = None if stop is None else _plain(stop)
    if probability is not None:
        instance("probability", probability, FittedProbability, "what fit_probability(...) fitted, or None")
        _check_fits(probability, setting, plan)
    whole = {
        "ec_agent_settings": VERSION,
        "selector": {"name": setting.selector, **setting.arguments},
        "config": asdict(setting.config),
        **({} if plan is None else {"stop": plan}),
        **({} if probability is None else {"probability": probability.to_dict()}),
        "about": dict(or_none("about", about, mapping, "a dict, or None") or {}),
    }
    try:
        plain = json.dumps(whole, indent=2) + "\n"
    except Exception as error:
        raise ConfigError(f"the settings and about cannot be written ({error}); give what JSON has") from error
    try:
        file.write_text(plain, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error}); name a file in a folder that exists") from error


def _plain(stop: StoppingPlan) -> dict[str, Any]:
    check_plan(stop)
    settings = settings_of(stop)
    if settings is None:
        raise ConfigError(
            f"stop is {name_of(stop)}, which a file cannot hold; give a plan of ec_agent.stopping without a function "
            "of your own, and give yours to best_of_n itself"
        )
    return settings


def _check_fits(fitted: FittedProbability, setting: Setting, plan: Mapping[str, Any] | None) -> None:
    basis, name = fitted.basis, setting.build().name
    there = (basis.selector, basis.config, None if basis.stop is None else dict(basis.stop))
    if there != (name, setting.config, plan):
        raise ConfigError(
            f"probability was fitted for the selector {basis.selector} with the plan {basis.stop}, and would never be "
            f"used with {name} and the plan {plan}; fit it for these"
        )


def load_settings(path: str | Path) -> dict[str, Any]:
    """Read a settings file as arguments for ``best_of_n``: ``best_of_n(agent, **load_settings(path))``.

    Args:
        path: a file that ``ec-agent calibrate`` or ``save_settings`` wrote.

    Returns:
        ``{"selector": ..., "config": ...}``; with ``"stop"`` too where the file has a stopping plan, and with
        ``"probability"`` where it has a fitted probability.

    Raises:
        ConfigError: the file cannot be read, or is not a settings file of this version.
    """
    hint = "give a file that `ec-agent calibrate` wrote"
    try:
        whole = json.loads(file_path("path", path).read_text(encoding="utf-8-sig"))
    except ConfigError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read {path} ({cause_of(error)}); {hint}") from error
    if not isinstance(whole, dict) or whole.get("ec_agent_settings") != VERSION:
        raise ConfigError(f"{path} is no settings file of version {VERSION}; {hint}")
    if strangers := [key for key in whole if key not in _KEYS]:
        raise ConfigError(
            f"{path} has {', '.join(strangers)} besides selector, config, stop and probability; give it to best_of_n "
            "itself"
        )
    try:
        arguments = dict(whole["selector"])
        setting = Setting(arguments.pop("name"), arguments, HEPConfig(**whole["config"]))
        stop = {"stop": plan_named(**whole["stop"])} if "stop" in whole else {}
        fitted = {"probability": FittedProbability.from_dict(whole["probability"])} if "probability" in whole else {}
        return {"selector": setting.build(), "config": setting.config, **stop, **fitted}
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}); {hint}") from error
