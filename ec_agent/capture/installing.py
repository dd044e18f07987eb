"""Makes a recorder record everything that is called inside a ``with`` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from ec_agent.capture.langchain import HANDLER, handler_var, install_hook
from ec_agent.capture.open_calls import current_call
from ec_agent.capture.openai_client import install_patch
from ec_agent.capture.recorder import Recorder, current_recorder, listening


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Record everything called inside the ``with`` block, including threads and tasks with a copy of its context."""
    install_hook()
    install_patch()
    with set_here((current_recorder, recorder), (current_call, None), (handler_var, HANDLER), (listening, ())):
        yield recorder


@contextmanager
def recording_apart(recorder: Recorder) -> Iterator[Recorder]:
    """Record what is called inside the ``with`` block, and have the recorder of this context record it, too.

    For one of several calls at a time, of which each is to be read apart. Guard and reports are those of the context's
    recorder; what is set on requests is this one's own.
    """
    around = current_recorder.get()
    if around is None:
        with recording(recorder):
            yield recorder
        return
    recorder.guard, recorder.told = around.guard, around.told
    others = (*listening.get(), around)
    with recording(recorder), set_here((listening, others)):
        yield recorder


@contextmanager
def set_here(*values: tuple[ContextVar[Any], Any]) -> Iterator[None]:
    """Set context variables inside the ``with`` block."""
    tokens = [(variable, variable.set(value)) for variable, value in values]
    try:
        yield
    finally:
        for variable, token in tokens:
            # A web server may end a generator in another context than it began in. Nothing was set there.
            with suppress(ValueError):
                variable.reset(token)
