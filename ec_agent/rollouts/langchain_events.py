"""What LangChain's callbacks are told: the choice as a custom event, and to event streams the winner's answers, too."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import AIMessage

from ec_agent.insides.streams import event_streams, tell, tell_of_answer
from ec_agent.rollouts.messages import ai_messages, message_ids
from ec_agent.rollouts.observer import Chosen, Observer, OpenedQuestion
from ec_agent.support.plans import Plan, Step

SELECTION = "ec_agent.selection"


class LangChainEvents(Observer):
    """Tells the callbacks of the run. One that has ``raise_error`` set ends the question, as it ends any run.

    Args:
        streams: the event streams (``astream_events``) around: rollouts are kept from them, so they are told apart.
    """

    may_raise = True

    def __init__(self, streams: BaseCallbackManager | None) -> None:
        self._streams = streams

    def chosen(self, chosen: Chosen) -> Plan[None]:
        """A custom event with the receipt, a copy for each: what listeners do to it is their own affair."""
        told, config = chosen.selection.to_dict(), chosen.config
        yield Step(
            lambda: dispatch_custom_event(SELECTION, told, config=config),
            lambda: adispatch_custom_event(SELECTION, told, config=config),
        )
        if self._streams is not None:
            yield from tell(self._streams, SELECTION, chosen.selection.to_dict())

    def answer_written(self, known: Any, answer: Any) -> Plan[None] | None:
        """What the winner's models said, as far as it is written, as of calls that start and end now."""
        return None if self._streams is None else _answers_told(self._streams, known, answer)


def _answers_told(streams: BaseCallbackManager, known: Any, answer: Any) -> Plan[None]:
    told = set(message_ids(known))
    for message in ai_messages(answer):
        if isinstance(message, AIMessage) and message.id not in told:
            told.add(message.id)
            yield from tell_of_answer(streams, message)


def langchain_events(question: OpenedQuestion) -> LangChainEvents:
    """For the callbacks of the task that asks the question."""
    return LangChainEvents(event_streams(question.config.get("callbacks")))
