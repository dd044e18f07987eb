"""A tool node for the outer graph that carries each call out at most once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.errors import GraphInterrupt
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime

from ec_agent.commits.at_most_once import Once, OnUncertain
from ec_agent.commits.declared_tools import effect_of
from ec_agent.commits.durability import written_down
from ec_agent.commits.gate import RolloutGate, current_gate, gated
from ec_agent.commits.journal import Journal, MemoryJournal, check_journal
from ec_agent.commits.keys import node_key
from ec_agent.commits.lineage import standing
from ec_agent.commits.runlog import RunLog
from ec_agent.commits.saver_journal import journal_for
from ec_agent.commits.winner_gate import CONFUSABLE, CommitGate, Planned, begin_calls
from ec_agent.errors import CommitError, ConfigError
from ec_agent.insides.langgraph import number_in_task
from ec_agent.insides.tool_nodes import check_overridden
from ec_agent.support.checks import one_of, several
from ec_agent.support.plans import Plan, adrive, drive

_AT_ONCE = 4  # a thread pool of Python runs at least this many calls side by side, unless max_concurrency is smaller


class CommitToolNode(ToolNode):
    """LangGraph's ``ToolNode`` that carries each call out at most once, also if the run is resumed or retried.

    It takes the inputs of a ``ToolNode`` and gives its outputs. Each call has an idempotency key and is written down
    in a journal, before it runs and after. If a resumed, retried or replayed run comes to a call that is done, the
    call gives its first result and does not run again. If the journal has only the call's beginning, nobody knows
    whether it took effect, and the node raises ``CommitUncertain``. Inside a rollout its tools do not run: the rollout
    stops before them. A tool may ask a person by ``interrupt()``; where several calls of one message do, give each a
    task of its own, ``Send("tools", [call])``.

    Args:
        tools: the tools; those marked ``@read_only`` run without a journal.
        journal: where commits are written down: by default in the run's checkpointer, without one in memory.
        on_uncertain: what to do with a call that may have taken effect: ``"raise"``, or ``"retry"``, which calls the
            tool again with the same key.
        **kwargs: the other arguments of ``ToolNode``.

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
        check_overridden(self)
        self._journal = journal
        self._memory = MemoryJournal()
        self._on_uncertain: OnUncertain = on_uncertain

    # ``ToolNode`` has no public place around one run of all its calls, so its private ``_func`` and ``_afunc`` are
    # overridden: the calls are written down and the gate is opened first, then LangGraph runs them as it always does.
    # ``check_overridden`` refuses a LangGraph that would not call them.

    def _func(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        with self._gated(drive(self._gate(input, config)), config):
            return super()._func(input, config, runtime)

    async def _afunc(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        with self._gated(await adrive(self._gate(input, config)), config) as gate:
            try:
                return await super()._afunc(input, config, runtime)
            except Exception:
                # ToolNode raises at the first call that fails, while the calls beside it still run. Wait for them: a
                # retry must find their outcomes in the journal.
                if gate is not None:
                    await adrive(gate.wait_until_idle())
                raise

    def _gate(self, input: Any, config: RunnableConfig) -> Plan[CommitGate | None]:
        """Return the gate that carries the calls out; ``None`` inside a rollout, where no call may run."""
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
        planned = yield from begin_calls(once, f"tools/{number}/{said}", calls)
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
            if gate.several_ask(config.get("max_concurrency") or _AT_ONCE):
                raise CommitError(CONFUSABLE) from None
            raise
        if gate.failure is not None:  # ToolNode may have turned it into a message to the model: raise it here
            raise gate.failure

    def _planned(self, input: Any, thread: Any, place: Any) -> dict[str, Planned]:
        planned: dict[str, Planned] = {}
        calls, kind = self._parse_input(input)
        message = _message(input, self._messages_key) if kind != "tool_calls" else None
        for each in calls:
            tool = self.tools_by_name.get(each["name"])
            # The key is made of the message's id, for a replay from an older checkpoint has the same message and
            # another task. Where the message has no id, the task's namespace has to do.
            said = message.id if message is not None and message.id else place
            key = node_key(thread, said, each["id"])
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
