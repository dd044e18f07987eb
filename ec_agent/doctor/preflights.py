"""The doctor's questions that matter for scoring, asked of an agent's models before its rollouts, once per model."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import SecretStr

from ec_agent.doctor.chat_model import ChatModelTarget, endpoint_of, unbound
from ec_agent.doctor.questions import probe
from ec_agent.doctor.report import QUESTIONS, Mark, Report, Verdict
from ec_agent.errors import OtherModelWarning, PreflightError
from ec_agent.numbers.coverage import MIN_COVERAGE
from ec_agent.support.checks import flag, several, share
from ec_agent.support.plans import Plan, Step

MOST_REMEMBERED = 256
_NOT_IDENTIFYING = frozenset({"name", "tags", "metadata", "callbacks", "cache", "verbose", "custom_get_token_ids"})
_NOT_BOUND = frozenset({"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"})

_lock = threading.Lock()
_reports: OrderedDict[Hashable, Report] = OrderedDict()
_in_progress: dict[Hashable, Future[Report | None]] = {}


def preflight(
    models: Sequence[Any], *, min_coverage: float = MIN_COVERAGE, tools: bool = True, request_logprobs: bool = False
) -> Plan[tuple[Report, ...]]:
    """Ask each model what decides whether rollouts can be scored: two requests as a rule, none if it passed before.

    A model that passed is remembered in this process, by its class, parameters and endpoint; one that failed is asked
    again the next time. Where the model that answered is not the one that was asked for, an ``OtherModelWarning`` says
    so. Nothing of it shows in the callbacks, streams and records of a run around.

    Args:
        models: chat models, or bindings of them; ``models_of(agent)`` finds an agent's.
        min_coverage: the smallest share of tokens with candidates that passes.
        tools: whether tool calls count.
        request_logprobs: whether the rollouts will ask for logprobs themselves; then the questions do it in the same
            way, which reaches models that go through an ``openai`` client.

    Returns:
        A report a model, in their order.

    Raises:
        PreflightError: rollouts would go unscored; it says what was found and what to set.
        DoctorError: nobody is there, or we are not let in.
        ConfigError: one of them is no chat model.
    """

    def unfit(report: Report) -> bool:
        return _lacking(report, "logprobs", min_coverage) or (tools and _lacking(report, "tools", min_coverage))

    share("min_coverage", min_coverage)
    flag("tools", tools)
    flag("request_logprobs", request_logprobs)
    reports = []
    for model in several("models", models, Runnable, "a LangChain chat model, or a list of them"):
        report = yield from _once(model, request_logprobs, unfit)
        reports.append(report)
    failed = [report for report in reports if unfit(report)]
    if failed:
        raise PreflightError("\n".join(_told(report) for report in failed), reports)
    for report in reports:
        if (found := report.finding("model")).mark is Mark.NO:
            told = f"preflight: {found.detail}, at {report.target}: see that it is the model you mean"
            warnings.warn(told, OtherModelWarning, stacklevel=2)
    return tuple(reports)


def forget() -> None:
    """Ask every model again: an endpoint has changed."""
    with _lock:
        _reports.clear()


def _lacking(report: Report, question: str, min_coverage: float) -> bool:
    """Whether calls of this kind leave too little to score a rollout on."""
    found = report.finding(question)
    if report.verdict in (Verdict.UNANSWERED, Verdict.UNUSABLE) or found.coverage == 0.0:
        return True
    # An agent without tools may well have a model that takes none: only logprobs refused with tools count.
    refused = found.mark is Mark.NO and "logprob" in found.detail
    return refused or (found.coverage is not None and found.coverage < min_coverage)


def _told(report: Report) -> str:
    lines = [f"preflight: {report.target} would leave rollouts unscored"]
    for question in ("logprobs", "tools"):
        found = report.finding(question)
        lines.append(f"  {QUESTIONS[question]}: {found.mark} ({found.detail})")
    lines += [f"  set: {setting.text}" for setting in report.settings]
    lines.append("  or leave preflight out and lower min_coverage, to run all the same")
    return "\n".join(lines)


def _once(model: Any, request_logprobs: bool, unfit: Callable[[Report], bool]) -> Plan[Report]:
    """The model's report: remembered if it passed, and asked for by one run at a time."""
    key = (identity(model), request_logprobs)
    mine: Future[Report | None] | None = None
    with _lock:
        report = _reports.get(key)
        if report is not None and not unfit(report):
            return report
        other = _in_progress.get(key)
        if other is None:
            mine = _in_progress[key] = Future()
            mine.set_running_or_notify_cancel()  # so that a waiter that is cancelled cannot cancel it
    if other is not None:
        heard: Report | None = yield _answer_of(other)
        if heard is not None:
            return heard
    report = None
    try:
        # Asked as rollouts ask it: what a call can say to a model, best_of_n cannot.
        target = ChatModelTarget(model, request_logprobs=request_logprobs)
        report = yield from probe(target, scoring_only=True)
        return report
    finally:
        _settle(key, mine, report)


def _settle(key: Hashable, mine: Future[Report | None] | None, report: Report | None) -> None:
    """Remember the report, and give it to those who wait; without one, they ask for themselves."""
    with _lock:
        if report is not None:
            _reports[key] = report
            while len(_reports) > MOST_REMEMBERED:
                _reports.popitem(last=False)
        if mine is not None:
            del _in_progress[key]
    if mine is not None:
        mine.set_result(report)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it, or be asking
    _in_progress.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _answer_of(other: Future[Report | None]) -> Step:
    """The report of the run that is asking; ``None`` where it came to none, or must not be waited for."""

    def sync() -> Report | None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return other.result()
        return None  # the run that asks may be on this very loop, which must not stand still

    return Step(sync, lambda: asyncio.wrap_future(other))


def identity(model: Any) -> Hashable:
    """What tells models apart: class, parameters, endpoint, and what is bound, less tools and keys.

    Raises:
        ConfigError: it is no chat model.
    """
    inner, kwargs, _ = unbound(model)
    bound = {name: value for name, value in kwargs.items() if name not in _NOT_BOUND}
    fields = {
        name: value
        for name, field in type(inner).model_fields.items()
        if name not in _NOT_IDENTIFYING
        and not field.exclude
        and not isinstance(value := vars(inner).get(name), SecretStr)
    }
    return type(inner), endpoint_of(inner), _frozen(_identifying(inner)), _frozen(fields), _frozen(bound)


def _identifying(model: BaseChatModel) -> Mapping[str, Any]:
    try:
        return model._identifying_params
    except Exception:  # an integration's own property; the fields say the same
        return {}


def _frozen(value: Any) -> Hashable:
    """Plain data as something hashable; any other object stands for itself."""
    if isinstance(value, Mapping):
        return tuple(sorted(((str(name), _frozen(held)) for name, held in value.items()), key=lambda pair: pair[0]))
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(_frozen(held) for held in value)
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return (type(value), value)
    return _Itself(value)


class _Itself:
    """An object as a key; it is kept, so that no other takes its place."""

    def __init__(self, held: Any) -> None:
        self._held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other._held is self._held

    def __hash__(self) -> int:
        return id(self._held)
