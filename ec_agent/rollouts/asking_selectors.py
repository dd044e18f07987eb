"""Have the selector choose, within the limits of the question; bill what it asks, and choose otherwise if it fails."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from langgraph.errors import GraphBubbleUp

from ec_agent.capture.recorder import Recorder, current_recorder
from ec_agent.capture.request_params import RequestSettings
from ec_agent.commits.undeclared import ran_in
from ec_agent.errors import ConfigError, RolloutError, SelectorError, SelectorWarning
from ec_agent.insides.executors import RolloutLeft, executors_here
from ec_agent.numbers.trajectory import Call
from ec_agent.rollouts.choosing import candidate_of, choose, outputs_of
from ec_agent.rollouts.limits import ChoiceMeter, bounded
from ec_agent.rollouts.options import Options
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import Record, total, usage_of, was_cancelled
from ec_agent.rollouts.selection import Selection
from ec_agent.selectors import Candidate, Ranking
from ec_agent.selectors.registry import FIRST, RAISE
from ec_agent.stopping import Stop
from ec_agent.support.escaping import clipped
from ec_agent.support.plans import Plan, Step

_LONGEST = 300  # letters of a failure in the receipt


def select(question: Question, every: Sequence[Record], stop: Stop | None) -> Plan[tuple[Selection, list[Call]]]:
    """Choose among the rollouts of a round.

    Args:
        question: the question.
        every: the records of all rollouts of the round.
        stop: the plan's reason to start no more; ``None`` where all were started.

    Returns:
        The receipt, and the LLM calls that the selector made.

    Raises:
        SelectionError: no winner can be chosen.
        SelectorError: the selector failed, and nothing is to choose in its place.
    """
    records = sorted(every, key=lambda record: record["index"])
    if not question.within:  # inside a rollout, the outer question reports these tools with its own
        question.notices.hear(ran_in(records))
    with _asking(question) as (recorder, meter):
        failures: list[Exception] = []

        def within(step: Step) -> Step:
            return _noting(bounded(step, meter), failures)

        candidates = question.candidates(records)
        given = question.errors, question.n, stop
        try:
            selection = yield from choose(records, candidates, question.options, *given, within)
        except Exception as error:
            if error not in failures:  # no error of the selector's: no rollout can be scored, or a warning is an error
                raise
            failure = _failure(error, recorder, question.options)
            instead = _instead(failure, question.options, candidates, records)
            options = question.options.chosen_by(instead)
            ended = [record for record in records if not was_cancelled(record)]
            anew = [candidate_of(record, options, question.known) for record in ended]
            selection = _told(failure, question, (yield from choose(records, anew, options, *given)))
        calls = [replace(call, texts=None, candidates=None) for call in recorder.every_call()]
    return _billed(selection, calls), calls


@contextmanager
def _asking(question: Question) -> Iterator[tuple[Recorder, ChoiceMeter]]:
    """Set up the choice: its limits, its recorder, and those who are told of it.

    After it, a thread of the selector that nobody waits for any more is stopped at its next call.
    """
    executors, over = executors_here(), False

    def halt() -> None:
        if over or executors.left:
            raise RolloutLeft

    limits = replace(question.options.limits, max_tokens=None)  # a limit of rollouts alone
    meter = ChoiceMeter(limits, question.budget, [halt], current_recorder.get())
    recorder = Recorder(requests=RequestSettings(keep_logprobs=True), guard=meter)
    try:
        with question.told.choosing(recorder):
            yield recorder, meter
    finally:
        over, recorder.told = True, None
        if current_recorder.get() is not None:  # the outer rollout may be stopped before this question is over
            question.made += recorder.every_call()


def _noting(step: Step, failures: list[Exception]) -> Step:
    """Return the step; it adds the error that it raises, if any, to ``failures``."""

    def sync() -> Any:
        try:
            return step.sync()
        except Exception as error:
            failures.append(error)
            raise

    async def wait() -> Any:
        try:
            return await step.wait()
        except Exception as error:
            failures.append(error)
            raise

    return Step(sync, wait)


def _failure(error: Exception, recorder: Recorder, options: Options) -> Exception:
    """Return what the selector failed with.

    Raises:
        Exception: the error, if the run around has ended, or if nothing is to choose in place of the selector and an
            argument is wrong. Also if the selector does not say what shall happen if it fails.
    """
    on_failure, failure = getattr(options.selector, "on_failure", None), recorder.failure or error
    if isinstance(error, GraphBubbleUp) or (isinstance(error, ConfigError) and on_failure in (None, RAISE)):
        raise error
    if on_failure is None and not isinstance(failure, RolloutError | SelectorError):
        raise error
    return failure


def _instead(failure: Exception, options: Options, candidates: Sequence[Candidate], records: Sequence[Record]) -> Any:
    """Return the selector that chooses in place of one that failed.

    Raises:
        SelectorError: there is none.
    """
    on_failure = getattr(options.selector, "on_failure", None) or RAISE
    if on_failure == RAISE:
        _raise(failure, options, candidates, records)
    return First() if on_failure == FIRST else on_failure


def _raise(
    failure: Exception, options: Options, candidates: Sequence[Candidate], records: Sequence[Record]
) -> NoReturn:
    why = str(failure) if isinstance(failure, SelectorError) else f"{type(failure).__name__}: {failure}"
    raise SelectorError(
        f"the selector {options.selector.name} failed: {why}. Correct the cause, or have another selector choose in "
        "such a case with on_failure=; the rollouts are in this error's candidates and outputs, and with a "
        "checkpointer graph.invoke(None, config) asks the selector again",
        candidates,
        outputs_of(records),
    ) from failure


@dataclass(frozen=True, slots=True)
class First:
    """Takes the first rollout that ended: ``on_failure="first"``."""

    name: str = FIRST
    signals: tuple[str, ...] = ()

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Rank by index."""
        order = tuple(sorted(candidate.index for candidate in candidates if candidate.error is None))
        return Ranking(order, dict.fromkeys(order), dict.fromkeys(order, "not judged"))


def _told(failure: Exception, question: Question, selection: Selection) -> Selection:
    """Return the receipt with a note that its selector chose in place of one that failed, and warn."""
    name = question.options.selector.name
    why = clipped(f"{type(failure).__name__}: {failure}", _LONGEST)
    note = f"the selector {name} failed, and {selection.selector} chose in its place, as its on_failure says: {why}"
    warnings.warn(note, SelectorWarning, stacklevel=2)
    return replace(selection, failed_selector=f"{name}: {why}", warnings=(note, *selection.warnings))


def _billed(selection: Selection, calls: Sequence[Call]) -> Selection:
    if not calls:
        return selection
    usage = usage_of(calls)
    return replace(selection, usage=total([selection.usage, usage]), selector_usage={"calls": len(calls), **usage})
