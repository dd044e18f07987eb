"""Send each rollout's scores to LangSmith, as feedback on the rollout's own run there.

Where LangSmith's tracing is on, LangChain has a tracer among the callbacks, and every rollout is a run in LangSmith. We
choose that run's id, so that we can send feedback to it after the choice. The feedback is sent by the tracer's own
client from a background thread, so that a slow or broken LangSmith neither delays nor ends the user's run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.utils.uuid import uuid7

from ec_agent.numbers.phases import HEPConfig
from ec_agent.rollouts.observer import Chosen, Observer, OpenedQuestion
from ec_agent.support.checks import seconds

Score = tuple[str, Any, str | None]
Item = tuple[Mapping[str, str], str, Any, str | None]

PLACE = "langsmith"
_ATTEMPTS = 3  # tries to send one piece of feedback: LangSmith may not have received its run yet
_PATIENCE = 10.0  # seconds to wait for runs to arrive; they never do if LangSmith's own thread has died
_log = logging.getLogger(__name__)
_lock = threading.Lock()
_executor: ThreadPoolExecutor | None = None
_pending: set[Future[None]] = set()
_clients: list[Any] = []


class LangSmithFeedback(Observer):
    """Sends the scores of all rollouts to LangSmith after each choice."""

    def chosen(self, chosen: Chosen) -> None:
        """Send the scores, in the background."""
        if any(record["facts"].get(PLACE) for record in chosen.records):  # else its tracing was off
            send(chosen.config, chosen.records, chosen.selection.to_dict())


def langsmith_feedback(question: OpenedQuestion) -> LangSmithFeedback:
    """Make the observer for a question. Where LangSmith's tracing is off, it sends nothing."""
    return LangSmithFeedback()


def metadata(index: int, selector: str, config: HEPConfig) -> dict[str, Any]:
    """Return the metadata that every run inside a rollout gets in LangSmith."""
    settings = f"{config.top_percent:g}/{config.bottom_percent:g}/{config.consecutive_low}"
    return {"ec_rollout": index, "ec_selector": selector, "ec_config": settings}


def place_of(config: RunnableConfig) -> dict[str, str] | None:
    """Choose the id of the LangSmith run for a rollout that starts here, and return its place as plain JSON.

    ``None`` where LangSmith's tracing is off.
    """
    if not getattr(config.get("callbacks"), "handlers", None):
        return None
    with _harmless():
        tracer, run = _tracing(config)
        if tracer is not None and run is not None:
            return {"run_id": str(uuid7()), "trace_id": str(run.trace_id), "project": str(run.session_name)}
    return None


def send(config: RunnableConfig, records: Sequence[Mapping[str, Any]], receipt: Mapping[str, Any]) -> None:
    """Send every rollout's scores to its LangSmith run, in the background."""
    places = {record["index"]: record["facts"].get(PLACE) for record in records}
    items = [
        (place, *each)
        for candidate in receipt["candidates"]
        if (place := places.get(candidate["index"])) is not None
        for each in _scores(candidate, receipt)
    ]
    with _harmless():
        tracer, _ = _tracing(config)
        if tracer is not None and items:
            _submit(tracer.client, items)


def _submit(client: Any, items: list[Item]) -> None:
    global _executor
    with _lock:
        _executor = _executor or ThreadPoolExecutor(1, thread_name_prefix="ec_agent-feedback")
        sent = _executor.submit(_send, client, items)
        _pending.add(sent)
        if client not in _clients:
            _clients.append(client)
    sent.add_done_callback(_pending.discard)


@contextmanager
def _harmless() -> Iterator[None]:
    """Inside the ``with`` block, log errors instead of raising them: feedback must not cost the user's run."""
    try:
        yield
    except Exception as error:
        _log.warning("the scores of the rollouts could not be sent to LangSmith: %s", type(error).__name__)


def flush(timeout: float = 30.0) -> bool:
    """Wait until the feedback of all selections so far, and the runs traced so far, are sent to LangSmith.

    Args:
        timeout: seconds to wait at most.

    Returns:
        Whether all feedback was handed to LangSmith's client in time.

    Raises:
        ConfigError: ``timeout`` is no number of seconds.
    """
    seconds("timeout", timeout, "the seconds to wait at most, 0 or more", least=0)
    end = time.monotonic() + timeout
    done = not wait(tuple(_pending), timeout).not_done
    for client in tuple(_clients):
        with suppress(Exception):  # the client logs its own errors
            client.flush(max(0.0, end - time.monotonic()))
    return done


def _tracing(config: RunnableConfig) -> tuple[Any, Any]:
    """Return LangSmith's tracer among the callbacks, and the LangSmith run it is in; ``None`` for each if absent."""
    from langchain_core.tracers.langchain import LangChainTracer

    callbacks = config.get("callbacks")
    handlers = getattr(callbacks, "handlers", None) or ()
    tracer = next((handler for handler in handlers if isinstance(handler, LangChainTracer)), None)
    run = None if tracer is None else tracer.run_map.get(str(getattr(callbacks, "parent_run_id", None)))
    if run is not None and run.extra.get("__disabled"):
        run = None
    return tracer, run


def _scores(candidate: Mapping[str, Any], receipt: Mapping[str, Any]) -> list[Score]:
    """Return the feedback on one rollout, as triples of key, score and comment."""
    won = candidate["index"] == receipt["winner"]
    scores = [("ec_agent.selected", int(won), candidate["reason"])]
    if candidate["centroid"] is not None:
        scores.append(("ec_agent.centroid", candidate["centroid"], None))
    if candidate["score"] is not None and candidate["score"] != candidate["centroid"]:
        scores.append(("ec_agent.score", candidate["score"], receipt["selector"]))
    if candidate["coverage"] is not None:
        scores.append(("ec_agent.coverage", candidate["coverage"], None))
    return scores


def _send(client: Any, items: Sequence[Item]) -> None:
    projects: dict[str, str] = {}
    with _harmless():  # around all: if one cannot be sent, the others could not either
        for place, key, score, comment in items:
            name = place["project"]
            if name not in projects:
                projects[name] = _project(client, name)
            client.create_feedback(
                run_id=place["run_id"],
                trace_id=place["trace_id"],
                session_id=projects[name],
                key=key,
                score=score,
                comment=comment,
                feedback_source_type="model",
                stop_after_attempt=_ATTEMPTS,
            )


def _project(client: Any, name: str) -> str:
    """Return the id of a LangSmith project, which LangSmith needs to find the run.

    A new project exists only after its first run has arrived there, so wait for that if necessary.
    """
    with suppress(Exception):
        return str(client.read_project(project_name=name).id)
    client.flush(_PATIENCE)
    return str(client.read_project(project_name=name).id)
