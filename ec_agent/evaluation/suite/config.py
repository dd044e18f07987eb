"""The file of a suite: TOML with the settings of the runs, the models, and the families of tasks."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from ec_agent.errors import ConfigError
from ec_agent.evaluation.model import ModelSettings
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.support.checks import cause_of, file_path, number, or_none, repr_of, text, whole

RUN = tuple(each.name for each in fields(RunSettings) if each.name not in ("stop", "shard"))
MODEL = ("name", "base_url", "api_key_env", "tools", "arguments")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family of tasks.

    Attributes:
        tasks: a task source, or whatever else `ec-agent eval` takes.
        name: what it is called on the page; the source's name by default.
        limit: the first so many tasks.
        options: of the task source.
        arguments: of the model, beside its own, for this family alone.
        run: settings of its runs, beside those of all.
        reported: the gain of Lowest Centroid over Pass@1 that the authors report for it, if you have read one.

    Raises:
        ConfigError: a value it cannot have.
    """

    tasks: str
    name: str = ""
    limit: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    reported: float | None = None

    def __post_init__(self) -> None:
        text("tasks", self.tasks, "a task source, such as aime2025:FILE")
        text("name", self.name, empty=True)
        or_none("limit", self.limit, whole)
        or_none("reported", self.reported, number, "a share from -1 to 1: 0.053 for 5.3 points", least=-1, most=1)
        object.__setattr__(self, "name", self.name or self.tasks.partition(":")[0])


class Cell(NamedTuple):
    """One run of a suite.

    Attributes:
        family: its tasks.
        model: who is asked.
        settings: how.
        out: the file of its rollouts.
    """

    family: Family
    model: ModelSettings
    settings: RunSettings
    out: Path


@dataclass(frozen=True, slots=True)
class Suite:
    """A whole file.

    Attributes:
        agent: ``module:name`` of the agent that all runs have.
        page: the page to write.
        cells: the runs, by models.
    """

    agent: str
    page: Path
    cells: Sequence[Cell]


_TOP = ("folder", "agent", "run", "models", "families")
DEFAULT_AGENT = "graphs.eval_agents:make_agent"


def read_suite(path: str | Path) -> Suite:
    """The suite that a file describes; paths of files in it are as they stand, from the folder that you are in.

    Raises:
        ConfigError: it cannot be read, or something in it is unknown or wrong; the message says where.
    """
    file = file_path("path", path, "a TOML file")
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read {path} ({cause_of(error)}); give a TOML file as docs/paper.md shows") from error
    try:
        return _suite(told)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _suite(told: Mapping[str, Any]) -> Suite:
    _known("the file", told, _TOP)
    folder = file_path("folder", told.get("folder", "runs/suite"), "the folder for the runs and the page")
    run = _table("run", told.get("run", {}))
    models = [_model(place, each) for place, each in enumerate(_tables(told, "models"), start=1)]
    families = [_family(place, each) for place, each in enumerate(_tables(told, "families"), start=1)]
    cells = [_cell(folder, run, model, family) for model in models for family in families]
    twice = [cell.out for cell in cells]
    if again := next((out for out in twice if twice.count(out) > 1), None):
        raise ConfigError(f"two runs would be stored in {again}; give each model and each family a name of its own")
    agent = text("agent", told.get("agent", DEFAULT_AGENT), "module:name of an agent")
    return Suite(agent, folder / "page.html", cells)


def _cell(folder: Path, run: Mapping[str, Any], model: Mapping[str, Any], family: Family) -> Cell:
    arguments = {**model.get("arguments", {}), **family.arguments}
    settings = RunSettings(**{**run, **family.run})
    out = folder / f"{_plain(family.name)}-{_plain(model['name'])}.db"
    return Cell(family, ModelSettings(**{**model, "arguments": arguments}), settings, out)


def _model(place: int, told: Any) -> dict[str, Any]:
    where = f"models, number {place}"
    table = _table(where, told)
    _known(where, table, MODEL)
    if "name" not in table:
        raise ConfigError(f"{where} has no name; give the name that the endpoint knows the model by")
    _table(f"arguments of {where}", table.get("arguments", {}))
    text("name", table["name"], "the name that the endpoint knows the model by")
    return table


def _family(place: int, told: Any) -> Family:
    where = f"families, number {place}"
    table = _table(where, told)
    _known(where, table, [each.name for each in fields(Family)])
    if "tasks" not in table:
        raise ConfigError(f"{where} has no tasks; name a task source, such as aime2025:FILE")
    for name in ("options", "arguments", "run"):
        _table(f"{name} of {where}", table.get(name, {}))
    _known(f"run of {where}", table.get("run", {}), RUN)
    return Family(**table)


def _tables(told: Mapping[str, Any], name: str) -> list[Any]:
    found = told.get(name)
    if not isinstance(found, list) or not found:
        raise ConfigError(f"there are no {name}; write one [[{name}]] or more")
    return found


def _table(where: str, told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise ConfigError(f"{where} is {repr_of(told)}; write a table")
    if where == "run":
        _known(where, told, RUN)
    return told


def _known(where: str, told: Mapping[str, Any], names: Sequence[str]) -> None:
    if strangers := [name for name in told if name not in names]:
        raise ConfigError(f"{where} has an unknown {strangers[0]!r}; it may have {', '.join(names)}")


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)
