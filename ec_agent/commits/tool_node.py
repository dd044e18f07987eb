"""A tool node for the outer graph that carries each call out at most once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.errors import GraphInterrupt
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime

from ec_agent.commits.committing import CONFUSABLE, CommitGate, Planned, entered
from ec_agent.commits.durability import written_down
from ec_agent.commits.effects import effect_of
from ec_agent.commits.gate import RolloutGate, current_gate, gated
from ec_agent.commits.journal import Journal, MemoryJournal, check_journal
from ec_agent.commits.lineage import standing
from ec_agent.commits.once import Once, OnUncertain
from ec_agent.commits.runlog import RunLog
from ec_agent.commits.saver_journal import journal_for
from ec_agent.errors import CommitError, ConfigError
from ec_agent.insides.langgraph import number_in_task
from ec_agent.support.checks import one_of, several
from ec_agent.support.plans import Plan, adrive, drive

_AT_ONCE = 4  # no pool of threads has fewer, unless max_concurrency says so


class CommitToolNode(ToolNode):
    """LangGraph's ``ToolNode``, whose calls have idempotency keys and are written down in a journal.

    Takes and gives what a ``ToolNode`` does. A call that was carried out already, in a run that was resumed, retried
    or replayed, is answered with its first result; one of which only the intent is known raises ``CommitUncertain``.
    Inside a rollout its tools are not run: the rollout ends at them. A tool may ask by ``interrupt()``; where several
    calls of one message do, each needs a task of its own, ``Send("tools", [call])``.

    Args:
        tools: the tools; those marked ``@read_only`` are just run.
        journal: where commits are written down: by default in the run's checkpointer, else in memory.
        on_uncertain: ``"raise"``, or ``"retry"`` with the same key.
        **kwargs: what ``ToolNode`` takes besides.

    Example:
        >>> builder.add_node("tools", CommitToolNode([send_email]))
    """

    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        journal: Journal | None = None,
        on_uncertain: OnUncertain = "raise",
        **kwargs: Any,
    ) -> None:
        check_journal(journal)
        one_of("on_uncertain", on_uncertain, ("raise", "retry"), "'raise' or 'retry'")
        given: tuple[Any, ...] = several("tools", tools, object, "a list of tools, or of functions with a docstring")
        try:
            super().__init__(given, **kwargs)
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(f"tools cannot be used ({error}); give a list of tools, or of functions") from error
        self._journal = journal
        self._memory = MemoryJournal()
        self._on_uncertain: OnUncertain = on_uncertain

    def _func(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        with self._gated(drive(self._gate(input, config)), config):
            return super()._func(input, config, runtime)

    async def _afunc(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        with self._gated(await adrive(self._gate(input, config)), config) as gate:
            try:
                return await super()._afunc(input, config, runtime)
            except Exception:
                # It leaves at the first call that fails. Those beside it go on, and a retry must find their outcomes.
                if gate is not None:
                    await adrive(gate.quiet())
                raise

    def _gate(self, input: Any, config: RunnableConfig) -> Plan[CommitGate | None]:
        """The gate that carries the calls out; ``None`` inside a rollout, which ends at them."""
        yield from written_down(config)
        around = current_gate.get()
        rollout = around.beyond if isinstance(around, CommitGate) else around
        if isinstance(rollout, RolloutGate):
            rollout.names |= {name for name, tool in self.tools_by_name.items() if effect_of(tool) != "read_only"}
            return None
        conf = config.get("configurable") or {}
        calls = self._planned(input, conf.get("thread_id"), conf.get("checkpoint_ns"))
        journal = journal_for(self._journal, config, self._memory)
        here = (yield from standing(config)) if any(each.commits for each in calls.values()) else None
        once = Once(journal, self._on_uncertain, RunLog(journal, here) if here is not None else None)
        said = repr([(each.name, each.args) for each in calls.values()])
        number = number_in_task(config, said) if here is not None else 0
        planned = yield from entered(once, f"tools/{number}/{said}", calls)
        return CommitGate(planned, once, beside=self.tools_by_name)

    @contextmanager
    def _gated(self, gate: CommitGate | None, config: RunnableConfig) -> Iterator[CommitGate | None]:
        if gate is None:
            yield None
            return
        try:
            with gated(gate):
                yield gate
        except GraphInterrupt:
            if gate.confused(config.get("max_concurrency") or _AT_ONCE):
                raise CommitError(CONFUSABLE) from None
            raise
        if gate.failure is not None:  # told to the model as an ordinary error, perhaps
            raise gate.failure

    def _planned(self, input: Any, thread: Any, place: Any) -> dict[str, Planned]:
        planned: dict[str, Planned] = {}
        calls, kind = self._parse_input(input)
        message = _message(input, self._messages_key) if kind != "tool_calls" else None
        for each in calls:
            tool = self.tools_by_name.get(each["name"])
            # A replay from an older checkpoint is another task with the same message; without one the task must do.
            said = message.id if message is not None and message.id else place
            key = str(uuid5(NAMESPACE_URL, f"{thread}/{said}/{each['id']}"))
            planned[str(each["id"])] = Planned(
                each["name"], each["args"], key, tool is not None and effect_of(tool) != "read_only"
            )
        return planned


def _message(input: Any, key: str) -> AIMessage | None:
    found = (
        input
        if isinstance(input, list)
        else input.get(key)
        if isinstance(input, Mapping)
        else getattr(input, key, None)
    )
    return next((m for m in reversed(found or []) if isinstance(m, AIMessage)), None)
