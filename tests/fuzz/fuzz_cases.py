"""How a public callable is given odd values: valid arguments, one of which is replaced; and what is wrong then."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import signal
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz_surface import Argument
from odd_values import LABELS, odd_value, refused

from ec_agent.errors import EcAgentError, EcAgentWarning


@dataclass(frozen=True)
class Case:
    """What is needed to call one public callable.

    Attributes:
        given: valid arguments, made anew for each call in an empty folder, which is the working directory.
        use: what is done with what it returned, for a value that is only looked at later.
        on: for a method: its object.
        only: the arguments that are fed; left out, all of them.
        told: argument -> how errors call it, where that is another word.
        anything: arguments that take any object, so that nothing is known of what must be refused.
        functions: arguments that take a function of the user's: what that returns is seen only when it is called, and
            what it raises is the user's own.
        twin: it shares its checks with another callable, which is fed with everything: every fifth value is enough.
    """

    given: Callable[[Path], Mapping[str, Any]] = lambda folder: {}
    use: Callable[[Any], Any] = lambda result: None
    on: Callable[[Path], Any] | None = None
    only: tuple[str, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)
    anything: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    twin: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The odd values that it is fed with."""
        return LABELS[::5] if self.twin else LABELS


def faults(what: Any, case: Case, argument: Argument, label: str, folder: Path) -> Iterator[str]:
    """What is wrong with the way in which one odd value of one argument is met; nothing where all is well."""
    if argument.name in case.functions and label.startswith("class"):
        return
    given = dict(case.given(folder))
    value = odd_value(label, folder, given.get(argument.name))
    call = what if case.on is None else getattr(case.on(folder), what.__name__)
    before = sorted(folder.rglob("*"))
    asked = Asked.count
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EcAgentWarning)
        try:
            positional = [value] if argument.kind is inspect.Parameter.VAR_POSITIONAL else []
            if argument.kind is inspect.Parameter.POSITIONAL_ONLY:
                positional, given = [value], {k: v for k, v in given.items() if k != argument.name}
            named = {} if positional else {argument.name: value}
            with at_most(5.0):
                case.use(finished(call(*positional, **{**given, **named})))
        except EcAgentError as error:
            yield from _told(error, case, argument, value)
            late = argument.name in case.functions and callable(value)
            if made := not late and [path.name for path in folder.rglob("*") if path not in before and path.exists()]:
                yield f"refused after it had made {made}"
            if Asked.count > asked and not late:
                yield f"refused after {Asked.count - asked} model calls: {error}"
        except TooLong:
            yield "takes longer than 5 seconds"
        except Exception as error:
            yield f"{type(error).__module__}.{type(error).__name__}: {_line(error)}"
        else:
            if argument.name not in case.anything and refused(argument.annotation, label):
                yield "taken without a word"


def _line(error: Exception) -> str:
    try:
        return " ".join(str(error).split())[:160]
    except Exception as odd:
        return f"cannot be shown: {odd!r}"


def _told(error: EcAgentError, case: Case, argument: Argument, value: Any) -> Iterator[str]:
    text = str(error)
    word = case.told.get(argument.name, argument.name)
    if not any(each in text for each in word.split("|")) and not (isinstance(value, str | Path) and str(value) in text):
        yield f"does not say that it is about {word}: {text[:200]}"
    if not re.search(r"[;:]\s", text):
        yield f"does not say what to do: {text[:200]}"
    if len(text) > 2000:
        yield f"an error of {len(text)} letters"


class TooLong(BaseException):
    """An odd value made work without an end."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """End what takes longer."""

    def ring(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Asked:
    """How often a model was asked."""

    count = 0


def finished(result: Any) -> Any:
    """The result of what is awaited, entered, or gone through."""
    if inspect.isawaitable(result):
        return asyncio.run(_awaited(result))
    if inspect.isasyncgen(result):
        return asyncio.run(_gone_through(result))
    if isinstance(result, contextlib._GeneratorContextManager):
        with result as inside:
            return inside
    if isinstance(result, types.GeneratorType):
        return list(result)
    return result


async def _awaited(result: Any) -> Any:
    return await result


async def _gone_through(result: Any) -> list[Any]:
    return [each async for each in result]
