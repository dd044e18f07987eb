"""Run an attempt: stream the agent, listen to its events, and keep the error if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from langgraph.errors import GraphBubbleUp, GraphInterrupt, ParentCommand

from ec_agent.capture.installing import recording, set_here
from ec_agent.capture.recorder import current_recorder
from ec_agent.commits.gate import gated
from ec_agent.commits.winner_gate import CommitGate
from ec_agent.environments.worlds import in_environment
from ec_agent.errors import RolloutCancelledError
from ec_agent.insides.box import unheard
from ec_agent.insides.executors import RolloutLeft, RunLeft
from ec_agent.insides.langgraph import around_box, no_ambient_run
from ec_agent.rollouts.attempt import Attempt
from ec_agent.rollouts.limits import timed
from ec_agent.rollouts.memory import saver_for
from ec_agent.rollouts.observing import unobserved
from ec_agent.rollouts.parking import finished_in
from ec_agent.rollouts.remote_graphs import sending_as_alone
from ec_agent.rollouts.stream_arguments import arguments_of
from ec_agent.support.loop import on_loop
from ec_agent.support.plans import Plan, Step
from ec_agent.support.prompt_leader import current_lead


def run(attempt: Attempt) -> Plan[None]:
    """Run an attempt to its end. An error is kept in the attempt, for the record.

    Raises:
        RunLeft: the run around it has ended early.
    """
    question = attempt.question
    attempt.told.started()
    with attempt.told.running():
        try:
            yield from _run(attempt)
        except (RolloutLeft, RunLeft):  # RunLeft comes from a nested question
            if not attempt.cancelled:
                raise RunLeft from None
        finally:
            if (around := current_recorder.get()) is not None:
                around.within += attempt.recorder.started_calls()
                question.made += attempt.recorder.every_call()
        if attempt.left:  # also if the agent has caught RolloutLeft
            raise RunLeft


def _run(attempt: Attempt) -> Plan[None]:
    question, parked = attempt.question, attempt.start.get("thread")
    question.ran.add(attempt.index)
    with _keeping_errors(attempt):
        if attempt.winner_gate is None:
            question.budget.check("not started")
        exact = attempt.agent.needs_saver and parked is None
        attempt.saver = saver_for(question.memory, attempt.thread, exact)
        if parked is not None:
            yield from question.parking.fetch(parked, attempt.thread, attempt.saver)
            attempt.log.finished = finished_in(attempt.saver, attempt.thread, attempt.agent.state_keys)
            attempt.unheard.resumed(list(attempt.saver.list(None)))
        yield from timed(question.enter(attempt.index), attempt.bounded)
    if attempt.error is None:
        with _keeping_errors(attempt), _inside(attempt):
            yield attempt.bounded(Step(partial(_stream, attempt), partial(_astream, attempt)))
            while attempt.winner_gate is not None and attempt.interrupts and len(attempt.answers) > 1:
                yield from _next_answers(attempt, attempt.winner_gate)
                yield attempt.bounded(Step(partial(_stream, attempt), partial(_astream, attempt)))
        attempt.late = attempt.meter.expired


def _next_answers(attempt: Attempt, gate: CommitGate) -> Plan[None]:
    """Prepare for the next answer, for a tool that asks several questions.

    LangGraph runs the tool from its start for each answer, also for those given before. So the run is repeated, with
    one answer more each time.
    """
    assert attempt.saver is not None
    yield from gate.wait_until_idle()
    gate.start_over()
    attempt.log.resumed(finished_in(attempt.saver, attempt.thread, attempt.agent.state_keys))
    attempt.held = {}
    del attempt.answers[0]


def _stream(attempt: Attempt) -> None:
    for found in attempt.graph.stream(**arguments_of(attempt)):
        if not attempt.hear(*found):
            return


async def _astream(attempt: Attempt) -> None:
    async for found in attempt.graph.astream(**arguments_of(attempt)):
        if not attempt.hear(*found):
            return


@contextmanager
def _inside(attempt: Attempt) -> Iterator[None]:
    """Set up the context of the agent's run: recorder, gate and environment, without the outer run's config."""
    around = around_box.set(attempt.question.outer)
    try:
        own = attempt.question.options.environment is not None
        world = in_environment(attempt.question.environment(attempt.index)) if own else nullcontext()
        with (
            unobserved(),
            recording(attempt.recorder),
            set_here((current_lead, attempt.recorder.lead), (unheard, not attempt.question.heard)),
            gated(attempt.winner_gate or attempt.gate),
            world,
            attempt.executors.only_these(),
            sending_as_alone(attempt.thread, attempt.question.given),
            no_ambient_run(),
        ):
            yield
    finally:
        around_box.reset(around)


@contextmanager
def _keeping_errors(attempt: Attempt) -> Iterator[None]:
    """Keep what ended the agent (an error, a command for the parent graph) in the attempt, for the record.

    Only what is meant for others is raised: LangGraph's own control flow, and a cancellation of the outer run.
    """
    try:
        yield
    except ParentCommand as stop:
        attempt.command = stop.args[0]
    except GraphInterrupt:
        pass  # our own stop, raised through a function agent; the gate knows why
    except GraphBubbleUp:
        raise  # LangGraph's own control flow, for the outer graph
    except asyncio.CancelledError as error:
        task = asyncio.current_task() if on_loop() else None
        if task is None or task.cancelling():
            # The outer run was cancelled. Threads of the agent cannot be cancelled: they stop at their next call.
            attempt.broken_off = attempt.winner_gate is None
            raise
        attempt.error = RolloutCancelledError(
            f"code inside the rollout cancelled it ({error!r}); find the code that cancels its own task"
        )
    except Exception as error:
        attempt.error = error
