"""Makes one rollout of several records: those that ``--rollout-from`` gives one name, or that say it themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ec_agent.errors import LogprobsError
from ec_agent.logs.base import Found
from ec_agent.logs.keys import From, looked_up, named
from ec_agent.logs.source import Trouble
from ec_agent.logs.spool import Spool
from ec_agent.numbers.trajectory import Trajectory

EACH = "record"
"""The value of ``--rollout-from`` that says that each record is a rollout."""

_NAMES = (
    "rollout_id",
    "rollout",
    "trajectory_id",
    "episode_id",
    "conversation_id",
    "session_id",
    "thread_id",
    "trace_id",
)
_KEYS = tuple(
    f"{around}{name}"
    for around in ("", "metadata.")
    for each in _NAMES
    for name in dict.fromkeys((each, each.partition("_")[0] + each.partition("_")[2].title()))
)
_NONE = Trajectory([])
_UNIQUE = 8  # letters; a shorter name, such as a number, may come again for every task


@dataclass(frozen=True, slots=True)
class Groups:
    """What the user says about the groups in a log.

    Attributes:
        task: where the name of the task comes from, or ``None``.
        rollout: where the name of the rollout comes from, or ``None``.
        each: whether each record is a rollout, whatever it says.
    """

    task: From | None = None
    rollout: From | None = None
    each: bool = False


def rollouts_of(
    found: Iterator[Found], label: str, groups: Groups, trouble: Trouble, tell: Any = lambda said: None
) -> Iterator[Found]:
    """Yield the rollouts of a file: several records as one, where they belong together.

    Args:
        found: what was read.
        label: name of the file in messages.
        groups: what the user says.
        trouble: called for a record that lacks what ``groups`` names.
        tell: called with what was guessed, in words.

    Raises:
        LogprobsError: the records say different things about which of them belong together.
    """
    named_tasks = _with_tasks(found, label, groups, trouble)
    if groups.rollout is not None:
        yield from _joined(named_tasks, label, groups, trouble)
    elif groups.each:
        yield from named_tasks
    else:
        yield from _as_they_say(named_tasks, label, tell)


def _with_tasks(found: Iterator[Found], label: str, groups: Groups, trouble: Trouble) -> Iterator[Found]:
    if groups.task is None:
        yield from found
        return
    for each in found:
        task = groups.task.of(_record(each), each.name)
        if task is None:
            what = f"nothing in it is what --task-from {groups.task.text} names; {groups.task.hint(_record(each))}"
            trouble(f"{label}, {each.name}", f"has no task: {what}")
        else:
            yield replace(each, task=task[0], keyed=True)


def _record(found: Found) -> Any:
    return found.record if found.record is not None else {"id": found.name, "task": found.task}


def _joined(found: Iterator[Found], label: str, groups: Groups, trouble: Trouble) -> Iterator[Found]:
    assert groups.rollout is not None
    with Spool() as spool:
        told: dict[str, Found] = {}
        for each in found:
            place = groups.rollout.of(_record(each), each.name)
            if place is None:
                hint = groups.rollout.hint(_record(each))
                what = f"nothing in it is what --rollout-from {groups.rollout.text} names; {hint}"
                trouble(f"{label}, {each.name}", f"belongs to no rollout: {what}")
            elif not each.alternative:  # of several answers to one request, the agent went on with the first
                _spool(each, place[0] if groups.task is None else f"{place[0]} of {each.task}", place[1], spool, told)
        yield from _spooled(spool, told)


def _spool(found: Found, name: str, place: str, spool: Spool, told: dict[str, Found]) -> None:
    for call in found.trajectory.calls:
        spool.add(name, place, call)
    first = told.get(name, found)
    outcome = found.outcome if found.outcome is not None else first.outcome
    told[name] = replace(first, name=name, trajectory=_NONE, record=None, outcome=outcome, line=False)


def _spooled(spool: Spool, told: dict[str, Found]) -> Iterator[Found]:
    for name, _, trajectory in spool.rollouts():
        lacking = told[name].lacking if not trajectory.scored_tokens else None
        yield replace(told[name], trajectory=trajectory, lacking=lacking)


@dataclass(slots=True)
class _Said:
    """What the records say under one key about which of them belong together.

    Attributes:
        names: by record, the name; ``None`` if it has none.
        short: whether a name is so short that it may come again for every task.
    """

    names: list[str | None] = field(default_factory=list)
    short: bool = False

    def add(self, value: Any) -> None:
        """Take the value of the next record."""
        name = named(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
        self.short |= name is not None and len(name) < _UNIQUE
        self.names.append(name)

    @property
    def repeated(self) -> bool:
        """Whether two records have the same name."""
        known = [name for name in self.names if name is not None]
        return len(set(known)) < len(known)

    @property
    def groups(self) -> list[int]:
        """For each record the first one of the same name."""
        first: dict[str | None, int] = {}
        return [first.setdefault(name, number) for number, name in enumerate(self.names)]


def _as_they_say(found: Iterator[Found], label: str, tell: Any) -> Iterator[Found]:
    """Join records that have a key in common which names rollouts or sessions. Other records are passed on at once."""
    first = next(found, None)
    keys = [] if first is None or not first.line else [key for key in _KEYS if looked_up(first.record, key) is not None]
    if first is None or not keys:
        yield from () if first is None else (first,)
        yield from found
        return
    said = {key: _Said() for key in keys}
    with Spool() as spool:
        told: dict[str, Found] = {}
        for number, each in enumerate(_and(first, found)):
            for key in keys:
                value = looked_up(each.record, key)
                said[key].add(value if each.task is None or value is None else f"{value} of {each.task}")
            _spool(each, str(number), "", spool, told)
            told[str(number)] = replace(told[str(number)], name=each.name)
        agreed = _agreed(said, label)
        if agreed is not None:
            names = said[agreed].names
            for number, name in enumerate(names):
                spool.rename(str(number), f"named {name}")
                told.setdefault(f"named {name}", replace(told[str(number)], name=str(name)))
            tell(
                f"records with the same {key} are the calls of one rollout, in their order: {len(set(names))} rollouts"
            )
        yield from _spooled(spool, told)


def _and(first: Found, rest: Iterator[Found]) -> Iterator[Found]:
    yield first
    yield from rest


def _agreed(said: dict[str, _Said], label: str) -> str | None:
    """Return the key that says which records are one rollout, or ``None`` if every record is one.

    Raises:
        LogprobsError: the keys do not agree, or it is not certain what they say.
    """
    hint = f"say it: --rollout-from KEY, --one-rollout, or --rollout-from {EACH} if each record is a rollout"
    telling = {key: each for key, each in said.items() if each.repeated}
    if not telling:
        return None
    key, one = next(iter(telling.items()))
    if other := next((name for name, each in telling.items() if each.groups != one.groups), None):
        raise LogprobsError(f"{label}: {key} and {other} group the records differently; {hint}")
    if None in one.names:
        raise LogprobsError(f"{label}: some records have {key} in common, and others have none; {hint}")
    if len(set(one.names)) == 1:
        raise LogprobsError(f"{label}: all records have the same {key}, but it may hold one rollout or several; {hint}")
    if one.short:
        raise LogprobsError(
            f"{label}: records have the same {key} ({one.names[0]!r}), which may be the calls of one rollout, or the "
            f"rollout of that number of several tasks; {hint}, with --task-from in the latter case"
        )
    return key
