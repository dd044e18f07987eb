"""The comparison that a report shows: which selectors, with which settings, on what was stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ec_agent.errors import ConfigError
from ec_agent.evaluation.report.certainty_rows import CertaintyRow, certainty_of
from ec_agent.evaluation.report.run_facts import RunFacts, facts_of
from ec_agent.evaluation.report.stopping_rows import AsRun, StopRow, as_run, stops_of
from ec_agent.evaluation.results import TaskResult
from ec_agent.evaluation.statistics import Resampling, Summary, summarise
from ec_agent.evaluation.statistics.bootstrap import resampling_of
from ec_agent.evaluation.statistics.greedy_among import GreedyAmong, greedy_among
from ec_agent.evaluation.stored_results import load_results, stop_in
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.signals import CONFIDENCE, ENTROPY
from ec_agent.selectors import LowestCentroid, MajorityVote, Selector
from ec_agent.selectors.registry import CONFOUNDS, SELECTORS, extra_signals_of, selector_named
from ec_agent.selectors.windows import WindowSelector
from ec_agent.stopping import StoppingPlan
from ec_agent.stopping.spelling import spelled
from ec_agent.traces.places import named


@dataclass(frozen=True, slots=True)
class Windows:
    """Selectors whose window no rollout fills, so that they read the mean of the whole rollout.

    Attributes:
        names: the selectors.
        longest: most tokens with a confidence that a rollout has.
    """

    names: tuple[str, ...]
    longest: int


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """All that is shown.

    Attributes:
        summary: the numbers.
        run: what was run; ``None`` for results that come from no trace file.
        config: settings of the phases.
        left_out: selector -> the signal that was not stored for it.
        unfilled: selectors whose window is longer than every rollout.
        warning: selector -> the first validity warning it gave, for those that gave one.
        unfinished: tasks of the run that lack rollouts and are left out.
        results: what was compared.
        stops: stopping plans beside all N at once.
        as_run: what a run with a stopping plan of its own came to; ``None`` for any other.
        greedy: each selector with the rollout at temperature 0 among the n, where the run has such rollouts.
        certainty: how likely each selector's choices are right, where that was asked for.
    """

    summary: Summary
    run: RunFacts | None
    config: HEPConfig
    left_out: Mapping[str, str]
    unfilled: Windows
    warning: Mapping[str, str]
    unfinished: int
    results: Sequence[TaskResult] = ()
    stops: Sequence[StopRow] = ()
    as_run: AsRun | None = None
    greedy: Sequence[GreedyAmong] = ()
    certainty: Sequence[CertaintyRow] = ()


def report_of(
    path: Path | str,
    *,
    selectors: Mapping[str, Selector] | None = None,
    config: HEPConfig | None = None,
    resampling: Resampling | None = None,
    partial: bool = False,
    stops: Sequence[StoppingPlan] | None = None,
    probability: bool = False,
) -> EvaluationReport:
    """The report of a trace file; ``compare`` says what the arguments mean. ``stops`` are the usual ones by default.

    With ``probability`` it is fitted how likely the choices are right: of the selectors that were named, or else of the
    majority vote and the lowest centroid.

    Raises:
        TraceError: the file is no trace file, or the run is not finished and ``partial`` is not set.
        ConfigError: no task is whole, a selector reads what was not stored, or SciPy is missing.
    """
    results = load_results(path, partial=partial)
    if not results:
        raise ConfigError(f"no task of {named(path)} has all its rollouts; repeat the command that began the run")
    run = facts_of(path, results)
    if probability and run is not None and stop_in(run.settings) is not None:
        raise ConfigError(
            "the run was stopped by a plan, and a probability needs all n rollouts; leave --probability out"
        )
    report = compare(results, selectors=selectors, config=config, resampling=resampling, run=run, stops=stops)
    if not probability:
        return report
    usual: dict[str, Selector] = {MajorityVote.label: MajorityVote(), LowestCentroid.label: LowestCentroid()}
    rows = certainty_of(report.results, usual if selectors is None else selectors, resampling_of(resampling))
    return replace(report, certainty=rows)


def compare(
    results: Sequence[TaskResult],
    *,
    selectors: Mapping[str, Selector] | None = None,
    config: HEPConfig | None = None,
    resampling: Resampling | None = None,
    run: RunFacts | None = None,
    stops: Sequence[StoppingPlan] | None = (),
) -> EvaluationReport:
    """Compare selectors. No model is called.

    Args:
        results: the tasks with their rollouts.
        selectors: name -> selector; ``None`` is all of the registry, as they are declared there, but for the confounds,
            which are the panel, and for those that read a signal that was not stored.
        config: settings of the phases; ``None`` is ``HEPConfig()``.
        resampling: how intervals and p-values are drawn.
        run: what was run.
        stops: stopping plans to replay beside each selector; ``None`` is the usual ones, beside the majority vote and
            the lowest centroid.

    Raises:
        ConfigError: no tasks, a selector reads what was not stored, or SciPy is missing.
    """
    config = config or HEPConfig()
    ready = [result.with_config(config) for result in results]
    missing: dict[str, str] = {}
    if selectors is None:
        selectors = {name: kind() for name, kind in SELECTORS.items() if name not in CONFOUNDS}
        stored = _stored_signals(ready)
        missing = {name: lacks[0] for name, one in selectors.items() if (lacks := _lacks(one, stored))}
        selectors = {name: one for name, one in selectors.items() if name not in missing}
    summary = summarise(ready, selectors, resampling=resampling)
    plan = None if run is None else stop_in(run.settings)
    if plan is not None and stops:
        raise ConfigError(
            f"the run was stopped by {spelled(plan)}, so that no other plan can be replayed on it; leave --stop out, "
            "or evaluate without a plan"
        )
    warned = {row.name for row in summary.selectors if row.warned}
    return EvaluationReport(
        summary=summary,
        run=run,
        config=config,
        left_out=missing,
        unfilled=_unfilled(ready, selectors),
        warning={name: _first_warning(ready, one) for name, one in selectors.items() if name in warned},
        unfinished=run.tasks - len(results) if run else 0,
        results=ready,
        stops=() if plan is not None else stops_of(ready, selectors, stops, resampling_of(resampling)),
        as_run=None if plan is None or run is None else _as_run(ready, selectors, plan, run, resampling),
        greedy=greedy_among(ready, selectors, resampling_of(resampling)),
    )


def _as_run(
    results: Sequence[TaskResult],
    selectors: Mapping[str, Selector],
    plan: StoppingPlan,
    run: RunFacts,
    resampling: Resampling | None,
) -> AsRun:
    return as_run(results, selectors, plan, int(run.settings["n"]), resampling_of(resampling))


def selectors_in(text: str) -> dict[str, Selector]:
    """The selectors that a command line names: ``lowest_centroid,deepconf_tail:window=64``.

    Args:
        text: names with commas between them, each with settings that are not the default ones behind colons.

    Raises:
        ConfigError: no name, one twice, an unknown one, or a setting it does not have.
    """
    found = [_selector_in(word.strip()) for word in text.split(",") if word.strip()]
    named = {one.name: one for one in found}
    if not named or len(named) != len(found):
        raise ConfigError(f"selectors are {text!r}; name one or more, each once, with commas between them")
    return named


def config_in(text: str) -> HEPConfig:
    """The settings of the phases that a command line names: ``1,80,2``.

    Raises:
        ConfigError: these are not three numbers, or one is out of range.
    """
    try:
        top, bottom, low = text.split(",")
        return HEPConfig(float(top), float(bottom), int(low))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(
            f"config is {text!r}; give top percent, bottom percent and consecutive low tokens, as 1,80,2"
        ) from error


def _selector_in(word: str) -> Selector:
    name, *pairs = word.split(":")
    settings = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not key or not value:
            raise ConfigError(f"{word!r} is no selector; write a name, or name:setting=value")
        settings[key] = _value(value)
    return selector_named(name, **settings)


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _stored_signals(results: Iterable[TaskResult]) -> set[str]:
    """The signals that every call has."""
    calls = [call for result in results for c in result.candidates for call in c.trajectory.calls]
    return set.intersection(*({ENTROPY, *call.signals} for call in calls)) if calls else {ENTROPY}


def _lacks(selector: Selector, stored: set[str]) -> list[str]:
    return [signal for signal in (*selector.signals, *extra_signals_of(selector)) if signal not in stored]


def _unfilled(results: Iterable[TaskResult], selectors: Mapping[str, Selector]) -> Windows:
    windows = {name: one.window for name, one in selectors.items() if isinstance(one, WindowSelector)}
    if not windows:
        return Windows((), 0)
    counts = [c.trajectory.count(CONFIDENCE) for result in results for c in result.candidates if c.error is None]
    longest = max(counts, default=0)
    return Windows(tuple(name for name, window in windows.items() if longest <= window), longest)


def _first_warning(results: Iterable[TaskResult], selector: Selector) -> str:
    read = (result.read_by(selector).candidates for result in results)
    said = (warning for candidates in read for warning in selector.select(candidates).warnings)
    return next(said, "")
