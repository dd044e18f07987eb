"""The models of the agents that are compared: alone they say what rollout 1 says, and that one wins."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from ec_agent.capture.recorder import current_recorder
from ec_agent.testing import Reply, ScriptedChatModel

N = 3
WINNER = 1
LOSER = "LOSER"  # in everything that a loser says, and in nothing else
TOKENS = 8
UNSURE_AT = (5, 1, 6)  # of each call of three rollouts; however many calls they make, rollout 1 has the lowest centroid

Script = Callable[[list[BaseMessage]], Reply]


def rollout_index() -> int | None:
    """Which rollout is running; ``None`` where the agent runs alone."""
    recorder = current_recorder.get()
    return None if recorder is None else recorder.index


def lost() -> str:
    """What marks the words of this rollout: nothing, where it is the winner's or the agent's own."""
    index = rollout_index()
    return "" if index in (None, WINNER) else f"{LOSER}-{index} "


def last_question(messages: Sequence[BaseMessage]) -> str:
    asked = [message for message in messages if isinstance(message, HumanMessage)]
    return str(asked[-1].text) if asked else ""


@dataclass
class Cast:
    """Makes the models of one agent, and hears what they were asked.

    Attributes:
        asked: rollout, model and conversation of each request.
    """

    asked: list[tuple[int | None, str, str]] = field(default_factory=list)

    def model(self, *replies: Reply, script: Script | None = None, name: str = "model") -> ScriptedChatModel:
        """A model that says ``replies`` in turn after each question; ``script`` tells them from the messages.

        ``{q}`` stands for the last question. ``~`` stands for the words by which losers differ, in texts and in the
        arguments of tools; they are put before texts in which no ``~`` says where.
        """

        def reply(messages: list[BaseMessage], index: int) -> Reply:
            self.asked.append((rollout_index(), name, conversation(messages)))
            due = script(messages) if script is not None else _in_turn(replies, messages)
            return spoken(due, last_question(messages), rollout_index())

        return ScriptedChatModel(reply, model_name=name)

    def requests(self) -> list[tuple[str, str]]:
        """What the winner's models, or the agent's own, were asked; side by side or in turn is all the same."""
        return sorted((name, talk) for index, name, talk in self.asked if index in (None, WINNER))


def spoken(reply: Reply, question: str, index: int | None) -> Reply:
    """The reply as this rollout says it."""
    mark = "" if index in (None, WINNER) else f"{LOSER}-{index} "
    at = UNSURE_AT[WINNER if index is None else index]
    marked = "~" in reply.content or "~" in repr(reply.tool_calls)
    content = reply.content if marked or not reply.content else f"~{reply.content}"
    if content.endswith("{nothing}"):
        content = ""

    def put(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("~", mark).replace("{q}", question)
        if isinstance(value, dict):
            return {key: put(each) for key, each in value.items()}
        return [put(each) for each in value] if isinstance(value, list) else value

    calls = [(name, put(args)) for name, args in reply.tool_calls]
    entropies = [2.0 if place == at else 0.1 for place in range(TOKENS)]
    return replace(reply, content=put(content), tool_calls=calls, entropies=entropies)


def _in_turn(replies: Sequence[Reply], messages: Sequence[BaseMessage]) -> Reply:
    asked = max((i for i, message in enumerate(messages) if isinstance(message, HumanMessage)), default=-1)
    said = sum(isinstance(message, AIMessage) for message in messages[asked + 1 :])
    assert said < len(replies), f"the script has {len(replies)} replies, and another one was asked for: {messages}"
    return replies[said]


def conversation(messages: Sequence[BaseMessage]) -> str:
    """Messages in a form that two runs have in common: without made-up ids and times."""
    told = [
        f"{message.type}: {message.content!r} {[(c['name'], c['args']) for c in getattr(message, 'tool_calls', [])]}"
        for message in messages
    ]
    without_ids = re.sub(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", "an id", " / ".join(told))
    return re.sub(r"\d{4}-\d\d-\d\dT[0-9:.+Z-]+", "a time", without_ids)
