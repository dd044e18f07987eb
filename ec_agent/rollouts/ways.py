"""The two ways of a question: through the fan-out graph, or straight. This is the only place that chooses.

The graph is what a checkpointer saves, what streams and callback handlers see, and what asks people. Where nothing of
that is there, its steps are taken one after the other without it: the same functions in the same order, with the same
state. That saves a graph for each question, and a task of it for each rollout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig

from ec_agent.insides.langgraph import ambient_run, no_ambient_run, saver_of
from ec_agent.insides.run_around import streams_tasks, with_context
from ec_agent.rollouts.fanout import BREAKPOINTS, FOR_PEOPLE, FanOutState, straight
from ec_agent.rollouts.question import Question
from ec_agent.support.plans import Plan, Step, call


def needs_graph(question: Question, config: RunnableConfig) -> str | None:
    """Return why a question has to go through the fan-out graph; ``None`` where it may go straight.

    Args:
        question: the question.
        config: the config for its steps.
    """
    if saver_of(config) is not None:
        return "a checkpointer saves finished rollouts"
    if question.heard:
        return "a callback handler hears the tasks"
    if streams_tasks(config):
        return "somebody streams the tasks"
    return None


def asking(graph: Any, state: FanOutState, config: RunnableConfig, question: Question) -> Plan[Mapping[str, Any]]:
    """Take a question's steps, and return the state in which they end.

    Args:
        graph: the fan-out graph.
        state: the state with which the question begins.
        config: the config for its steps.
        question: the question.
    """
    if needs_graph(question, config) is None:
        with ambient_run(config):  # for selectors and other functions of the user's, which run between the rollouts
            state = yield from straight(state, with_context(config, question))
        if state["course"]["next"] not in FOR_PEOPLE:
            return state
    with no_ambient_run():
        done: Mapping[str, Any] = yield _run(graph, state, config, question)
    return done


def _run(graph: Any, state: FanOutState, config: RunnableConfig, question: Question) -> Step:
    return call(graph, "invoke", state, config, context=question, **BREAKPOINTS)
