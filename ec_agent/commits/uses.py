"""Calls of tools: who asked for them, where they are made, and in which conversation."""

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
"""A conversation: the state key it is kept under, and its messages."""


@dataclass(frozen=True, slots=True)
class Use:
    """One call of a tool.

    Attributes:
        tool: the tool.
        input: what it is called with.
        call_id: id of the model's tool call that it answers; ``None`` for a call that no model asked for.
        outer: the call that a model's message of the agent asked for, and in whose course this one is made.
        place: ``configurable`` of the graph task that it is made in.
        heard: how many messages models had returned before it.
    """

    tool: BaseTool
    input: Any
    call_id: str | None
    outer: Use | None = None
    place: Mapping[str, Any] = field(default_factory=dict)
    heard: int | None = None

    @property
    def inside(self) -> str | None:
        """Id of the model's tool call in whose course it is made."""
        return None if self.outer is None else self.outer.call_id

    @property
    def asked(self) -> Use:
        """The call of the agent's own conversation that leads to it: a tool may ask an agent with one of its own."""
        return self.outer or self

    @property
    def answers(self) -> str | None:
        """The model's tool call that leads to it."""
        return self.asked.call_id

    @property
    def args(self) -> dict[str, Any]:
        """What it is called with, as a model would say it."""
        return self.input if isinstance(self.input, dict) else {"input": self.input}

    def is_of(self, args: Mapping[str, Any]) -> bool:
        """Whether it is called with what a model said; a tool node may have added to that."""
        names = args or self.tool.args
        return alike(args, {name: value for name, value in self.args.items() if name in names})

    @property
    def misfits(self) -> bool:
        """Whether the tool's own schema refuses what it is called with, before it does anything."""
        return refuses(self.tool, self.input, self.call_id)


def alike(some: Any, others: Any) -> bool:
    """Whether two calls have the same arguments."""
    try:
        return bool(some == others)
    except Exception:  # arrays and the like have no one answer
        return repr(some) == repr(others)


def answering(value: Any, use: Use) -> Any:
    """What a tool gave, as the answer to the call; somebody may have noted it by hand."""
    if use.call_id is None or isinstance(value, ToolOutputMixin):
        return value
    return ToolMessage(str(value), name=use.tool.name, tool_call_id=use.call_id)


def asks(message: AIMessage, call_id: str | None, name: str | None) -> bool:
    """Whether the message has a call with this id, of this tool."""
    return any(call["id"] == call_id and name in (None, call["name"]) for call in message.tool_calls)


def says(message: AIMessage, use: Use) -> bool:
    """Whether the message has this very call, and not merely one with the same id."""
    return any(call["id"] == use.call_id and use.is_of(call["args"]) for call in message.tool_calls)


def task_here() -> str:
    """The checkpoint namespace of the graph task that this is called in."""
    return task_of(place_here())


def place_here() -> Mapping[str, Any]:
    """``configurable`` of the graph task that this is called in."""
    return (var_child_runnable_config.get() or {}).get("configurable") or {}


def task_of(place: Mapping[str, Any]) -> str:
    """The checkpoint namespace of a graph task."""
    return str(place.get("checkpoint_ns") or "")


def talks(place: Mapping[str, Any]) -> Iterator[Talk]:
    """The lists in the state of the graph whose task that is, by state key."""
    read = place.get(READ)
    for key, channel in (read.args[1] if read is not None else {}).items():
        value = channel.get() if channel.is_available() else None
        if isinstance(value, list):
            yield key, value


def talk_with(
    call_ids: Collection[str | None], message: AIMessage | None = None, place: Mapping[str, Any] | None = None
) -> Talk | None:
    """The state key and the messages, in the graph whose task this is called in, that have one of these tool calls.

    Where several have, the one that this message is in; of the graph of another task where its ``place`` is given.
    """
    here = place_here() if place is None else place
    lists = [(key, [m for m in value if isinstance(m, AIMessage)], value) for key, value in talks(here)]
    found = [
        (any(message is not None and m.id == message.id for m in said), key, value)
        for key, said, value in lists
        if any(call["id"] in call_ids for m in said for call in m.tool_calls)
    ]
    return next(((key, value) for here, key, value in found if here), found[0][1:] if found else None)
