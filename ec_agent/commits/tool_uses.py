"""A tool call: which model message asked for it, in which graph task it is made, and in which conversation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.messages.tool import ToolOutputMixin
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool

from ec_agent.insides.langgraph import READ
from ec_agent.insides.tool_runs import refuses

Talk = tuple[str, list[Any]]
"""A conversation: the state key of a list of messages, and that list."""


@dataclass(frozen=True, slots=True)
class Use:
    """One call of a tool.

    Attributes:
        tool: the tool.
        input: what the tool is called with.
        call_id: id of the model's tool call that this answers; ``None`` where the agent's own code made the call.
        outer: the call during which this one is made, where a tool calls a tool: the outermost one that a message of
            the agent's model asked for.
        place: ``configurable`` of the graph task in which the call is made.
        answers_seen: how many messages models had returned before the call; ``None`` if not known.
    """

    tool: BaseTool
    input: Any
    call_id: str | None
    outer: Use | None = None
    place: Mapping[str, Any] = field(default_factory=dict)
    answers_seen: int | None = None

    @property
    def inside(self) -> str | None:
        """Id of the model's tool call during which this call is made, where a tool calls a tool."""
        return None if self.outer is None else self.outer.call_id

    @property
    def asked(self) -> Use:
        """The call of the agent's own model that led to this call; this call itself, unless a tool made it."""
        return self.outer or self

    @property
    def answers(self) -> str | None:
        """Id of the model's tool call, in the agent's own conversation, that led to this call."""
        return self.asked.call_id

    @property
    def args(self) -> dict[str, Any]:
        """The arguments of the call, in the form of a model's tool call."""
        return self.input if isinstance(self.input, dict) else {"input": self.input}

    def is_of(self, args: Mapping[str, Any]) -> bool:
        """Whether the call has the arguments that the model gave. A tool node may have injected further ones."""
        names = args or self.tool.args
        return alike(args, {name: value for name, value in self.args.items() if name in names})

    @property
    def misfits(self) -> bool:
        """Whether the tool's own schema refuses the arguments, so that the tool does nothing."""
        return refuses(self.tool, self.input, self.call_id)


def alike(some: Any, others: Any) -> bool:
    """Whether two calls have the same arguments."""
    try:
        return bool(some == others)
    except Exception:  # arrays compare element by element, which gives no single truth value
        return repr(some) == repr(others)


def answering(value: Any, use: Use) -> Any:
    """Wrap a tool's result in a ``ToolMessage`` where it is plain text, as one that was settled by hand is."""
    if use.call_id is None or isinstance(value, ToolOutputMixin):
        return value
    return ToolMessage(str(value), name=use.tool.name, tool_call_id=use.call_id)


def asks(message: AIMessage, call_id: str | None, name: str | None) -> bool:
    """Whether the message has a call with this id and of the tool with this name; of any tool if ``name`` is None."""
    return any(call["id"] == call_id and name in (None, call["name"]) for call in message.tool_calls)


def says(message: AIMessage, use: Use) -> bool:
    """Whether the message has this call: one with the same id and the same arguments."""
    return any(call["id"] == use.call_id and use.is_of(call["args"]) for call in message.tool_calls)


def task_here() -> str:
    """Return the checkpoint namespace of the graph task in which this is called."""
    return task_of(place_here())


def place_here() -> Mapping[str, Any]:
    """Return ``configurable`` of the graph task in which this is called; empty outside a graph."""
    return (var_child_runnable_config.get() or {}).get("configurable") or {}


def task_of(place: Mapping[str, Any]) -> str:
    """Return the checkpoint namespace of a graph task, given its ``configurable``."""
    return str(place.get("checkpoint_ns") or "")


def talks(place: Mapping[str, Any]) -> Iterator[Talk]:
    """Yield every list in the state of a task's graph, with its state key; ``place`` is the task's ``configurable``."""
    read = place.get(READ)
    for key, channel in (read.args[1] if read is not None else {}).items():
        value = channel.get() if channel.is_available() else None
        if isinstance(value, list):
            yield key, value


def talk_with(
    call_ids: Collection[str | None], message: AIMessage | None = None, place: Mapping[str, Any] | None = None
) -> Talk | None:
    """Find the conversation that has one of these tool calls, in the state of a graph.

    Args:
        call_ids: ids of the tool calls.
        message: where several conversations have such a call, the one that contains this message is taken.
        place: ``configurable`` of a task of the graph; by default of the task in which this is called.
    """
    here = place_here() if place is None else place
    lists = [(key, [m for m in value if isinstance(m, AIMessage)], value) for key, value in talks(here)]
    found = [
        (any(message is not None and m.id == message.id for m in said), key, value)
        for key, said, value in lists
        if any(call["id"] in call_ids for m in said for call in m.tool_calls)
    ]
    return next(((key, value) for here, key, value in found if here), found[0][1:] if found else None)
