"""Send LangChain's callbacks a custom event at each choice, and send event streams the winner's answers as well."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import AIMessage

from ec_agent.insides.streams import event_streams, heard, tell, tell_of_answer
from ec_agent.rollouts.messages import ai_messages, message_ids
from ec_agent.rollouts.observer import Chosen, Observer, OpenedQuestion
from ec_agent.support.plans import Plan, Step

SELECTION = "ec_agent.selection"


class LangChainEvents(Observer):
    """Sends events to the run's callbacks. A callback with ``raise_error`` may end the question, as it may end any run.

    Args:
        streams: the handlers of event streams (``astream_events``). Rollouts are hidden from them, so they get the
            winner's answers from here; ``None`` without such a stream.
    """

    may_raise = True

    def __init__(self, streams: BaseCallbackManager | None) -> None:
        self._streams = streams

    def chosen(self, chosen: Chosen) -> Plan[None]:
        """Send a custom event with the receipt. Each receiver gets a copy, so that it cannot change another's."""
        if heard(config := chosen.config):
            told = chosen.selection.to_dict()
            yield Step(
                lambda: dispatch_custom_event(SELECTION, told, config=config),
                lambda: adispatch_custom_event(SELECTION, told, config=config),
            )
        if self._streams is not None:
            yield from tell(self._streams, SELECTION, chosen.selection.to_dict())

    def answer_written(self, known: Any, answer: Any) -> Plan[None] | None:
        """Send event streams each new AI message that the winner wrote, as a call that starts and ends now."""
        return None if self._streams is None else _answers_told(self._streams, known, answer)


def _answers_told(streams: BaseCallbackManager, known: Any, answer: Any) -> Plan[None]:
    told = set(message_ids(known))
    for message in ai_messages(answer):
        if isinstance(message, AIMessage) and message.id not in told:
            told.add(message.id)
            yield from tell_of_answer(streams, message)


def langchain_events(question: OpenedQuestion) -> LangChainEvents:
    """Make the observer, for the callbacks of the task in which the question is asked."""
    return LangChainEvents(event_streams(question.config.get("callbacks")))
