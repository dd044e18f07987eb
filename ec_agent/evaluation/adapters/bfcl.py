"""``bfcl``: the Berkeley Function Calling Leaderboard (bfcl-eval 2026.3.23, Apache-2.0).

``bfcl:simple_python`` is 400 questions that one call answers; nothing is carried out, the call is checked.
``bfcl:multi_turn`` is 800 conversations with simulated services, see ``bfcl_multi_turn``; each of its four sets can be
had by itself: ``bfcl:multi_turn_base``, ``_miss_func``, ``_miss_param``, ``_long_context``.

``ec-agent fetch bfcl`` fetches it (2 MB); the first ``load`` does as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import bfcl_package as bfcl
from ec_agent.evaluation.adapters.bfcl_multi_turn import SETS, multi_turn
from ec_agent.evaluation.adapters.common import Call, tool_calls, tool_from
from ec_agent.evaluation.tasks import BaseTask, Outcome, Task

SIMPLE = "simple_python"
PARTS = (SIMPLE, "multi_turn", *SETS)


def load(part: str, limit: int | None) -> list[Task]:
    """The tasks of one part, in BFCL's order.

    Raises:
        ConfigError: there is no such part.
        LocalModelError: the package cannot be fetched.
    """
    if part not in PARTS:
        raise ConfigError(f"bfcl has no part {part!r}; write bfcl:{SIMPLE} or one of {', '.join(PARTS[1:])}")
    if part == SIMPLE:
        return list(islice(_simple(), limit))
    return list(islice(multi_turn(SETS if part == "multi_turn" else (part,)), limit))


def _simple() -> Iterator[SimpleTask]:
    answers = {answer["id"]: answer["ground_truth"] for answer in bfcl.records(f"possible_answer/{_FILE}")}
    for entry in bfcl.records(_FILE):
        yield SimpleTask(entry, answers[entry["id"]])


_FILE = f"BFCL_v4_{SIMPLE}.json"


class SimpleTask(BaseTask):
    """One question, one function. A rollout ends with its first call: the tool returns directly.

    Args:
        entry: BFCL's entry.
        answers: what its call may be: ``[{function: {argument: [values]}}]``, ``""`` for one that may be left out.
    """

    def __init__(self, entry: dict[str, Any], answers: list[dict[str, dict[str, list[Any]]]]) -> None:
        super().__init__(entry["id"], {"messages": [(m["role"], m["content"]) for m in entry["question"][0]]})
        self._entry, self._answers = entry, answers
        self.expected = answers
        (function,) = entry["function"]
        self._name = function["name"]
        # Tools' names have no dots with most providers.
        self.tools = (
            tool_from(
                _noted,
                self._name.replace(".", "_"),
                function["description"],
                bfcl.json_schema(function["parameters"]),
                return_direct=True,
            ),
        )

    def verdict(self, outcome: Outcome) -> bool:
        """BFCL's ``ast_checker`` on the calls: there must be one, with arguments among the accepted ones."""
        calls = [{self._name if name == self.tools[0].name else name: args} for name, args in tool_calls(outcome)]
        language = bfcl.module("constants.enums").Language.PYTHON
        found = bfcl.ast_checker()(self._entry["function"], calls, self._answers, language, SIMPLE, bfcl.MODEL)
        return bool(found["valid"])

    @property
    def gold(self) -> list[Call]:
        """The call with the first accepted value of each argument."""
        ((_, arguments),) = self._answers[0].items()
        return [(self.tools[0].name, _chosen(arguments))]


def _noted(**_: Any) -> str:
    return "The call was noted."


def _chosen(arguments: dict[str, list[Any]]) -> dict[str, Any]:
    """The first accepted values; an argument for which there is only ``""`` is left out."""
    picked = {name: next((value for value in values if value != ""), "") for name, values in arguments.items()}
    return {name: _plain(value) for name, value in picked.items() if value != ""}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):  # its own arguments are lists of accepted values again
        return _chosen(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
