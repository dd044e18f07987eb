"""Build the arguments with which a rollout streams its agent: the input, the config and the context."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from ec_agent.insides.box import places_of_box
from ec_agent.insides.langgraph import BREAKPOINTS, Rescues, own_configurable, own_tags
from ec_agent.insides.streams import without_streaming
from ec_agent.rollouts import langsmith
from ec_agent.rollouts.attempt import Attempt
from ec_agent.rollouts.messages import private_copy
from ec_agent.rollouts.remote_graphs import ENVIRONMENT, placed


def arguments_of(attempt: Attempt) -> dict[str, Any]:
    """Return the arguments of the agent's ``stream``: the user's own config and context, without the outer run's.

    Args:
        attempt: the attempt. If the agent has error handlers, its write log gets to know which tasks they stand in for.
    """
    question = attempt.question
    arguments = {
        "input": _input(attempt),
        "config": _config(attempt),
        "context": attempt.agent.context_of(question.context),
        "stream_mode": ["tasks", "values", "updates"],
        "output_keys": attempt.agent.state_keys,
        "subgraphs": attempt.agent.is_function,  # also stream the graphs that a function calls
        **({} if attempt.agent.is_function else question.breakpoints),
    }
    # A subgraph with checkpointer=True reads its checkpoints during the rollout. Otherwise it is enough to save once,
    # at the end, which is faster.
    return arguments if attempt.agent.needs_saver else {**arguments, "durability": "exit"}


def _config(attempt: Attempt) -> RunnableConfig:
    config, question, options = attempt.config, attempt.question, attempt.question.options
    environment = question.environment(attempt.index)
    callbacks = without_streaming(config.get("callbacks"))
    if attempt.agent.rescues:
        callbacks, attempt.log.rescued = (rescues := Rescues()).heard_by(callbacks), rescues.of
    conf = {**own_configurable(config), "thread_id": attempt.thread}
    if attempt.agent.is_function and question.breakpoints:  # they are for the graph inside the box
        conf[BREAKPOINTS] = question.breakpoints
    marks = langsmith.metadata(attempt.index, options.selector.name, options.config)
    own: RunnableConfig = {
        "configurable": {**conf, ENVIRONMENT: environment} if environment is not None else conf,
        "callbacks": callbacks,
        "tags": own_tags(config),
        "metadata": {**placed(config.get("metadata") or {}, question.given), **marks},
        "recursion_limit": options.limits.recursion_limit,
    }
    if attempt.langsmith is not None:
        own["run_id"] = UUID(attempt.langsmith["run_id"])
    if (most := question.max_concurrency) is not None:  # the user's limit also holds for the agent's own parallel nodes
        own["max_concurrency"] = places_of_box(most) if attempt.agent.is_function else most
    return own


def _input(attempt: Attempt) -> Any:
    agent, start = attempt.agent, attempt.start
    if start.get("thread") is None:
        return agent.boxed(private_copy(attempt.question.known))
    answers, held = attempt.answers[0] or None, private_copy(attempt.held, "the state") or None
    # After a breakpoint there are no answers; without a command, None as the input resumes the run.
    return Command(resume=answers, update=held) if answers or held else None
