"""``agentdojo:workspace``, ``banking``, ``travel``, ``slack``: office work with simulated tools (0.1.35, MIT).

The utility of 97 user tasks, without any attack. Some of them are passed by doing nothing: see how many before
reading anything into a pass rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from langchain_core.tools import BaseTool

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters.common import Call, environment_of, final_text, package, tool_from
from ec_agent.evaluation.tasks import BaseTask, Outcome, Task

VERSION = "v1.2.2"  # of its suites


class Office:
    """The simulated world of one rollout.

    Attributes:
        before: as it was.
        world: as it is.
        trace: AgentDojo's records of the calls made.
    """

    def __init__(self, suite: Any, task: Any, world: Any) -> None:
        dojo = package("agentdojo.functions_runtime")
        self.world = task.init_environment(world.model_copy(deep=True))
        self.before = self.world.model_copy(deep=True)
        self.trace: list[Any] = []
        self._runtime = dojo.FunctionsRuntime(suite.tools)
        self._record = dojo.FunctionCall

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Carry out a call; what goes wrong in it is its result, as in AgentDojo's own loop."""
        shown = package("agentdojo.agent_pipeline.tool_execution").tool_result_to_str
        self.trace.append(self._record(function=name, args=dict(arguments)))
        result, error = self._runtime.run_function(self.world, name, arguments)
        return f"Error: {error}" if error else str(shown(result))


class OfficeTask(BaseTask):
    """One user task.

    Args:
        suite: AgentDojo's suite.
        task: its user task.
        world: the suite's world without injections, of which each rollout has a copy.
    """

    def __init__(self, suite: Any, task: Any, world: Any) -> None:
        super().__init__(f"{suite.name}-{task.ID}", task.PROMPT)
        self._suite, self._task, self._world = suite, task, world
        self.tools: Sequence[BaseTool] = tuple(_tool(function) for function in suite.tools)

    def environment(self) -> AbstractContextManager[Office]:
        """A world of its own."""
        return nullcontext(Office(self._suite, self._task, self._world))

    def verdict(self, outcome: Outcome) -> bool:
        """AgentDojo's utility: of the answer's text, the worlds before and after, and the calls."""
        office: Office = outcome.environment
        said = package("agentdojo.types").text_content_block_from_string(final_text(outcome))
        check = self._suite._check_user_task_utility  # it has no public one that takes a finished rollout
        return bool(check(self._task, [said], office.before, office.world, office.trace))

    @property
    def gold(self) -> list[Call]:
        """Its calls; the answer that goes with them is ``gold_answer``."""
        calls = self._task.ground_truth(Office(self._suite, self._task, self._world).before)
        return [(call.function, dict(call.args)) for call in calls]

    @property
    def gold_answer(self) -> str:
        """What the last message says after the gold calls; empty where nothing needs saying."""
        return str(self._task.GROUND_TRUTH_OUTPUT)


def load(part: str, limit: int | None) -> list[Task]:
    """The user tasks of one suite, in AgentDojo's order.

    Raises:
        ConfigError: there is no such suite, or the package is not installed.
    """
    suites = package("agentdojo.task_suite.load_suites").get_suites(VERSION)
    if part not in suites:
        raise ConfigError(f"agentdojo has no suite {part!r}; it has {', '.join(sorted(suites))}")
    suite = suites[part]
    world = suite.load_and_inject_default_environment({})
    return [OfficeTask(suite, task, world) for task in list(suite.user_tasks.values())[:limit]]


def _tool(function: Any) -> BaseTool:
    schema = function.parameters.model_json_schema()
    return tool_from(_caller(function.name), function.name, function.description, schema)


def _caller(name: str) -> Callable[..., str]:
    def call(**arguments: Any) -> str:
        office: Office = environment_of(Office)
        return office.call(name, arguments)

    return call
