"""A selector with its hyper-parameters, as ``ec-agent calibrate`` finds it and ``best_of_n`` takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.numbers.phases import HEPConfig
from ec_agent.selectors.base import Selector
from ec_agent.selectors.registry import selector_named
from ec_agent.support.checks import cause_of, file_path, instance, mapping, or_none, text

VERSION = 1

_KEYS = ("ec_agent_settings", "selector", "config", "about")


@dataclass(frozen=True, slots=True)
class Setting:
    """A selector and its hyper-parameters.

    Attributes:
        selector: its name in ``SELECTORS``.
        arguments: its settings where they are not the default ones.
        config: settings of the High Entropy Phases.

    Raises:
        ConfigError: one is of another kind; which selectors there are is asked when one is built.
    """

    selector: str = "lowest_centroid"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    config: HEPConfig = field(default_factory=HEPConfig)

    def __post_init__(self) -> None:
        text("selector", self.selector)
        mapping("arguments", self.arguments, "a dict of the selector's settings")
        instance("config", self.config, HEPConfig, "HEPConfig(...)")

    def build(self) -> Selector:
        """The selector.

        Raises:
            ConfigError: there is no such selector, or it has no such setting.
        """
        return selector_named(self.selector, **self.arguments)

    def __str__(self) -> str:
        name = self.build().name
        if self.config == HEPConfig() and "centroid" not in self.selector:
            return name
        top, bottom, low = (f"{value:g}" for value in asdict(self.config).values())
        return f"{name} {top}/{bottom}/{low}"


def save_settings(path: str | Path, setting: Setting, about: Mapping[str, Any] | None = None) -> None:
    """Write a setting to a JSON file.

    Args:
        path: the file.
        setting: what to write.
        about: where it comes from and what may be expected of it; kept, and not read again.

    Raises:
        ConfigError: the file cannot be written.
    """
    file = file_path("path", path)
    instance("setting", setting, Setting, "Setting(...)")
    whole = {
        "ec_agent_settings": VERSION,
        "selector": {"name": setting.selector, **setting.arguments},
        "config": asdict(setting.config),
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


def load_settings(path: str | Path) -> dict[str, Any]:
    """The arguments in a settings file: ``best_of_n(agent, **load_settings(path))``.

    Args:
        path: a file that ``ec-agent calibrate`` or ``save_settings`` wrote.

    Returns:
        ``{"selector": ..., "config": ...}``.

    Raises:
        ConfigError: the file cannot be read, or is no settings file of this version.
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
        raise ConfigError(f"{path} has {', '.join(strangers)} besides selector and config; give it to best_of_n itself")
    try:
        arguments = dict(whole["selector"])
        setting = Setting(arguments.pop("name"), arguments, HEPConfig(**whole["config"]))
        return {"selector": setting.build(), "config": setting.config}
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}); {hint}") from error
