"""Finds out which rollouts of the logs answer the same task, where neither the user nor the log names it.

What is tried, in this order: a key that names tasks (``task_id``); what the model was asked; one request with several
answers; ids that come again; numbers in the ids. What was found is told. If the logs contradict themselves, or show
that there are several tasks but not which, that is an error, and the user has to say it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ec_agent.capture.shapes import is_response
from ec_agent.errors import LogprobsError
from ec_agent.logs.base import Found
from ec_agent.logs.id_numbers import IdNumbers, Side, task_in
from ec_agent.logs.keys import looked_up, named

_NAMES = (
    "task_id",
    "question_id",
    "problem_id",
    "example_id",
    "instance_id",
    "prompt_id",
    "doc_id",
    "task",
    "question",
)
_KEYS = tuple(f"{around}{name}" for around in ("", "metadata.", "request.metadata.") for name in _NAMES)
_HINT = "say it: --task-from KEY or --task-from REGEX, or --one-task if all of them answer one task"
_WHOLE = "\0"  # the one task of all rollouts


class TaskEvidence(NamedTuple):
    """What may say of which task a rollout is.

    Attributes:
        file: label of its file.
        task: its task, if the log or the user names it.
        keyed: whether the user named it.
        keys: values of the keys that name tasks, by key.
        asked: digest of what was asked.
        earlier: digest of what was asked before the last answer among what was asked.
        request: name of the request, if it has several answers.
        id: its own id, or ``None``.
        batch: whether the id is the ``custom_id`` of a Batch API.
    """

    file: str
    task: str | None
    keyed: bool
    keys: dict[str, str]
    asked: str | None
    earlier: str | None
    request: str | None
    id: str | None
    batch: bool


_Guess = Callable[[TaskEvidence], str | None]
_Them = Callable[[], Iterator[TaskEvidence]]


def evidence_of(found: Found, file: str) -> TaskEvidence:
    """Return what a rollout says about its task."""
    keys: dict[str, str] = {}
    if found.task is None:
        values = {key: looked_up(found.record, key) for key in _KEYS}
        keys = {key: named(value) for key, value in values.items() if isinstance(value, str | int) and value != ""}
    batch = looked_up(found.record, "custom_id") is not None
    own = looked_up(found.record, "custom_id") if batch else looked_up(found.record, "id")
    name = found.request or found.name
    of_the_server = not batch and (isinstance(found.record, list) or is_response(found.record))
    id_ = name if isinstance(own, str | int) and str(own) == name and not of_the_server else None
    return TaskEvidence(file, found.task, found.keyed, keys, found.asked, found.earlier, found.request, id_, batch)


@dataclass(slots=True)
class Tasks:
    """Decides of which task each rollout is.

    Args:
        one: whether all rollouts without a task answer one task.
        each: whether the user said that each record is a rollout.
        tell: called with what was guessed, in words.

    Attributes:
        of: function that returns the task of a rollout: a key that is equal for rollouts that are compared.
    """

    one: bool
    each: bool
    tell: Callable[[str], None]
    of: Callable[[TaskEvidence], tuple[str, ...]] = field(init=False)

    def name(self, each: TaskEvidence) -> str | None:
        """Return the name of a rollout's task, or ``None`` if there is only one."""
        task = self.of(each)[-1]
        return None if task == _WHOLE else task

    def decide(self, all_of_them: Callable[[], Iterator[TaskEvidence]]) -> None:
        """Look at the rollouts of all files, and set ``of``.

        Args:
            all_of_them: function that begins anew with the first rollout each time it is called.

        Raises:
            LogprobsError: it cannot be decided.
        """
        guess = (lambda each: _WHOLE) if self.one else self._guess(all_of_them)
        self.of = lambda each: _named(each) or ("", guess(each) or _WHOLE)

    def _guess(self, all_of_them: _Them) -> _Guess:
        def open_ones() -> Iterator[TaskEvidence]:
            return (each for each in all_of_them() if each.task is None)

        count = sum(1 for _ in open_ones())
        if count < 2:
            return lambda each: None
        for way in (self._by_keys, self._by_question, self._by_request, self._by_ids):
            if (guess := way(open_ones, count)) is not None:
                return guess
        self.tell(
            f"nothing says which of the {count} rollouts answer the same task: all are compared with each other; "
            "--task-from KEY says it, or --one-task"
        )
        return lambda each: None

    def _by_keys(self, them: _Them, count: int) -> _Guess | None:
        given = Counter(key for each in them() for key in each.keys)
        if not given:
            return None
        if lacking := [key for key, times in given.items() if times < count]:
            raise LogprobsError(
                f"{given[lacking[0]]} of {count} rollouts have {lacking[0]}, the others have none; {_HINT}"
            )
        first, *others = given
        for other in others:
            pairs = {(each.keys[first], each.keys[other]) for each in them()}
            if not len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}):
                raise LogprobsError(f"{first} and {other} group the rollouts differently; {_HINT}")
        self._told(f"by {first}", Counter(each.keys[first] for each in them()))
        return lambda each: each.keys.get(first)

    def _by_question(
        self, them: Callable[[], Iterator[TaskEvidence]], count: int
    ) -> Callable[[TaskEvidence], str | None] | None:
        asked = Counter(each.asked for each in them())
        known = count - asked.pop(None, 0)
        if not known:
            return None
        if not self.each and any(each.earlier in asked for each in them() if each.earlier is not None):
            raise LogprobsError(
                "some records were asked what others were asked, and then more: they may be calls of one rollout. Say "
                "it: --rollout-from KEY or --rollout-from REGEX, or --rollout-from record if each record is a rollout"
            )
        if known < count:
            what = f"the logs have what was asked of {known} of {count} rollouts, and not of the others"
            raise LogprobsError(f"{what}; {_HINT}")
        if len(asked) == count:
            what = f"each of {count} rollouts was asked something else, so there is nothing to compare"
            raise LogprobsError(f"{what}; {_HINT}. Calls of one rollout are joined with --rollout-from")
        if len(asked) > 1:
            self._told("by what the model was asked", asked)
        return lambda each: each.asked

    def _by_request(
        self, them: Callable[[], Iterator[TaskEvidence]], count: int
    ) -> Callable[[TaskEvidence], str | None] | None:
        requests = Counter(_request(each) for each in them() if each.request is not None)
        if not requests or (len(requests) == 1 and max(requests.values()) == count):
            return None
        self._told("by request, of those with several answers", Counter(_request(each) for each in them()))
        return _request

    def _by_ids(self, them: _Them, count: int) -> _Guess | None:
        ids = Counter(each.id for each in them())
        if None in ids:
            return None
        if len(ids) < count:
            if min(ids.values()) < 2:
                raise LogprobsError(f"some ids come again ({ids.most_common(1)[0][0]!r}), and others do not; {_HINT}")
            if len(ids) > 1:
                self._told("by their ids, which come again", ids)
            return lambda each: each.id
        numbers = IdNumbers()
        numbers.add_all(str(each.id) for each in them())
        sides = numbers.sides()
        if len(sides) == 2:
            raise LogprobsError(f"{_both(numbers)}; {_HINT.replace('REGEX', 'REGEX as here')}")
        if sides:
            side = sides[0]
            self._told(f"by the ids, whose {side} number counts the rollouts", numbers.groups[side] or Counter())
            return lambda each: task_in(str(each.id), side)
        if any(each.batch for each in them()):
            example = next(str(each.id) for each in them())
            raise LogprobsError(
                f"the {count} custom_ids ({example!r}, ...) do not show which answer the same task; {_HINT}"
            )
        return None

    def _told(self, how: str, tasks: Counter[Any]) -> None:
        sizes = sorted(set(tasks.values()))
        of = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        self.tell(
            f"rollouts are compared {how}: {len(tasks)} tasks of {of}; --task-from KEY says it otherwise, or --one-task"
        )


def _named(each: TaskEvidence) -> tuple[str, ...] | None:
    """Return the task that the log names, which is that of its file, or that the user names, in all files."""
    return None if each.task is None else ("user", each.task) if each.keyed else ("log", each.file, each.task)


def _request(each: TaskEvidence) -> str:
    return f"{each.file}: {each.request or each.id}"


def _both(numbers: IdNumbers) -> str:
    found: list[str] = []
    patterns: dict[Side, str] = {"last": "^(.*?)[^0-9]*[0-9]+$", "first": "[0-9]+[-_./:# ]+(.*)$"}
    for side, pattern in patterns.items():
        counts = numbers.groups[side] or Counter()
        found.append(f"--task-from '{pattern}' makes {len(counts)} tasks of {max(counts.values())}")
    return f"the ids have two numbers, and do not show which counts the rollouts of a task ({'; '.join(found)})"
