"""``bfcl:multi_turn``: conversations in which the agent acts on simulated services (files, trading, travel, ...).

The agent needs ``ec_agent.evaluation.adapters.turns.in_turns``, which asks it the user's next message. A rollout
has services of its own. BFCL's ``multi_turn_checker`` carries the calls out again and compares, after each turn, the
services' state, and whether all that the gold calls answer has been seen.

Unlike in BFCL's own runner, in ``multi_turn_miss_func`` the agent sees the tools that are missing at first; until
their turn they answer that they are not available. BFCL ends a turn after 20 steps; here the agent's own limits do.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from langchain_core.tools import BaseTool

from ec_agent.evaluation.adapters import bfcl_package as bfcl
from ec_agent.evaluation.adapters.common import environment_of, tool_from
from ec_agent.evaluation.tasks import BaseTask, Outcome

SETS = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
_NEW_TOOLS = "I have updated some more functions you can choose from. What about now?"  # as BFCL's runner says
_numbers = itertools.count()


class Services:
    """The services of one rollout, and what was asked of them.

    Attributes:
        turns: turn -> step -> the calls of that step, as Python text. A step is one call here.
    """

    def __init__(self, entry: Mapping[str, Any], missing: Mapping[int, Sequence[str]]) -> None:
        self.turns: list[list[list[str]]] = [[]]
        self._entry = entry
        self._missing = missing
        # BFCL keeps services in the globals of a module, by the model's name: each session is another model.
        self.model = f"{bfcl.MODEL}_{next(_numbers)}"

    def next_turn(self) -> str | None:
        """The user's next message; ``None`` at the end."""
        if len(self.turns) >= len(self._entry["question"]):
            return None
        said = self._entry["question"][len(self.turns)]
        self.turns.append([])
        return "\n".join(message["content"] for message in said) or _NEW_TOOLS

    def call(self, name: str, arguments: Mapping[str, Any], known: Sequence[str]) -> str:
        """Carry out a call of one of the tools.

        Args:
            name: the tool's.
            arguments: JSON values.
            known: names that arguments may have. The call is carried out as Python text, so nothing else gets in.
        """
        wrong = [key for key in arguments if key not in known]
        if wrong:
            return f"Error: {name} has no argument {wrong[0]!r}; it has {', '.join(known) or 'none'}."
        if any(name in names for turn, names in self._missing.items() if turn >= len(self.turns)):
            return f"Error: {name} is not available."
        return self.execute(f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")

    def execute(self, call: str) -> str:
        """Carry out a call that is written as Python, as BFCL's gold calls are."""
        self.turns[-1].append([call])
        utils = bfcl.module("eval_checker.multi_turn_eval.multi_turn_utils")
        results, _ = utils.execute_multi_turn_func_call(
            [call],
            self._entry["initial_config"],
            self._entry["involved_classes"],
            self.model,
            self._entry["id"],
            long_context="long_context" in self._entry["id"],
        )
        return str(results[0])

    def close(self) -> None:
        """Forget the services."""
        kept = vars(bfcl.module("eval_checker.multi_turn_eval.multi_turn_utils"))
        for name in [name for name in list(kept) if re.match(rf"{self.model}_(?!\d)", name)]:
            kept.pop(name, None)


class MultiTurnTask(BaseTask):
    """One conversation.

    Args:
        entry: BFCL's entry.
        gold: its calls, as Python text, by turn.
        functions: BFCL's description of every function.
    """

    def __init__(self, entry: dict[str, Any], gold: list[list[str]], functions: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(entry["id"], {"messages": [(m["role"], m["content"]) for m in entry["question"][0]]})
        self.gold = self.expected = gold
        self._entry = entry
        # The tools of "turn 3" are missing in the turns 0, 1 and 2.
        self._missing = {int(turn): names for turn, names in entry.get("missed_function", {}).items()}
        excluded = entry.get("excluded_function", ())
        self.tools: Sequence[BaseTool] = tuple(_tool(f) for f in functions if f["name"] not in excluded)

    @contextmanager
    def _session(self) -> Iterator[Services]:
        session = Services(self._entry, self._missing)
        try:
            yield session
        finally:
            session.close()

    def environment(self) -> AbstractContextManager[Services]:
        """Services in their first state."""
        return self._session()

    def verdict(self, outcome: Outcome) -> bool:
        """BFCL's verdict on the calls of the session; ``False`` where turns were left out."""
        session: Services = outcome.environment
        if len(session.turns) != len(self.gold):
            return False
        checker = bfcl.module("eval_checker.multi_turn_eval.multi_turn_checker").multi_turn_checker
        category = self.id.rsplit("_", 1)[0]
        return bool(checker(session.turns, self.gold, self._entry, category, session.model)["valid"])


def multi_turn(sets: Sequence[str]) -> Iterator[MultiTurnTask]:
    """The conversations of some of the sets, in BFCL's order."""
    files = bfcl.module("constants.executable_backend_config").MULTI_TURN_FUNC_DOC_FILE_MAPPING
    for name in sets:
        file = f"BFCL_v4_{name}.json"
        gold = {answer["id"]: answer["ground_truth"] for answer in bfcl.records(f"possible_answer/{file}")}
        for entry in bfcl.records(file):
            docs = [bfcl.documents(f"multi_turn_func_doc/{files[kind]}") for kind in entry["involved_classes"]]
            yield MultiTurnTask(entry, gold[entry["id"]], [function for doc in docs for function in doc])


def _tool(function: Mapping[str, Any]) -> BaseTool:
    schema = bfcl.json_schema(function["parameters"])
    return tool_from(
        _caller(function["name"], tuple(schema["properties"])), function["name"], function["description"], schema
    )


def _caller(name: str, known: tuple[str, ...]) -> Callable[..., str]:
    def call(**arguments: Any) -> str:
        session: Services = environment_of(Services)
        return session.call(name, arguments, known)

    return call
