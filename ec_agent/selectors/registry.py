"""All selectors by name, and the check that an argument is a selector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.numbers.signals import check_signals
from ec_agent.selectors.base import Selector, has_sync_form, is_async
from ec_agent.selectors.centroid_weighted_vote import CentroidWeightedVote
from ec_agent.selectors.confidence_gradient import ConfidenceGradient
from ec_agent.selectors.confidence_weighted_vote import ConfidenceWeightedVote
from ec_agent.selectors.deepconf_bottom_window import DeepConfBottomWindow
from ec_agent.selectors.deepconf_lowest_group import DeepConfLowestGroup
from ec_agent.selectors.deepconf_mean import DeepConfMean
from ec_agent.selectors.deepconf_tail import DeepConfTail
from ec_agent.selectors.fewest_calls import FewestCalls
from ec_agent.selectors.longest import Longest
from ec_agent.selectors.lowest_centroid import LowestCentroid
from ec_agent.selectors.majority_vote import MajorityVote
from ec_agent.selectors.mean_entropy import MeanEntropy
from ec_agent.selectors.mean_logprob import MeanLogprob
from ec_agent.selectors.most_calls import MostCalls
from ec_agent.selectors.normalizers import with_normalizer
from ec_agent.selectors.raw_centroid import RawCentroid
from ec_agent.selectors.scoring import Named
from ec_agent.selectors.self_certainty import SelfCertainty
from ec_agent.selectors.shortest import Shortest
from ec_agent.selectors.tail_entropy import TailEntropy
from ec_agent.selectors.tie_broken_vote import TieBrokenVote
from ec_agent.support.checks import refusal, repr_of, text

SELECTORS: Mapping[str, type[Named]] = MappingProxyType(
    {
        kind.label: kind
        for kind in (
            LowestCentroid,
            RawCentroid,
            MeanEntropy,
            MeanLogprob,
            SelfCertainty,
            DeepConfMean,
            DeepConfTail,
            DeepConfBottomWindow,
            DeepConfLowestGroup,
            TailEntropy,
            MajorityVote,
            TieBrokenVote,
            CentroidWeightedVote,
            ConfidenceWeightedVote,
            ConfidenceGradient,
            Shortest,
            Longest,
            FewestCalls,
            MostCalls,
        )
    }
)
"""Maps the name of each selector to its class, in the order in which tables list them."""

RAISE, FIRST = "raise", "first"
"""Values of ``on_failure`` besides selectors: the failure is raised, or the first rollout that ended is taken."""

CONFOUNDS = ("shortest", "longest", "fewest_calls", "most_calls")
"""Names of the selectors that look only at how long a rollout is. Results are compared with them: see *confound*."""


def selector_named(name: str, **settings: Any) -> Selector:
    """Make the selector with this name.

    Args:
        name: a name in ``SELECTORS``, such as ``"lowest_centroid"``.
        **settings: settings that differ from the defaults, such as ``window=16``. A ``normalize`` may be a name in
            ``NORMALIZERS``, or a dict with ``name`` and its settings.

    Raises:
        ConfigError: there is no selector of that name, it has no setting of that name, or a value is out of range.
    """
    kind = SELECTORS.get(text("the name of a selector", name))
    if kind is None:
        raise ConfigError(f"unknown selector {repr_of(name)}; the selectors are {', '.join(SELECTORS)}")
    try:
        return kind(**with_normalizer(settings))
    except TypeError as error:
        known = ", ".join(setting.name for setting in fields(kind))
        has = f"the settings of {name} are {known}" if known else f"{name} has no settings"
        raise ConfigError(f"{name} cannot be made with {settings!r}; {has}") from error


def check_selector(selector: Any, name: str = "selector", *, asking: bool = False) -> None:
    """Check that an argument is a selector.

    Args:
        selector: the argument.
        name: name of the argument, for the error.
        asking: whether it may ask a model. Whoever ranks stored rollouts does so many times over, and without their
            question, so that such a selector is refused there.

    Raises:
        ConfigError: it is not a selector (it may be the class of one), or reads a signal that does not exist; or it
            may ask a model, and that is not allowed here.
    """
    if isinstance(selector, type) or not (isinstance(selector, Selector) or is_async(selector)):
        raise refusal(name, selector, _rather_than(selector))
    check_signals(selector.signals)
    check_signals(extra_signals_of(selector))
    if not asking and is_async(selector):
        raise ConfigError(
            f"{name} is {selector.name!r}, which may ask a model, and stored rollouts are ranked many times over: give "
            "a selector that asks none; or, at its cost, call select([Candidate(..., question=...), ...]) of this one "
            "once for each task"
        )
    if (on_failure := getattr(selector, "on_failure", None)) is not None:
        check_on_failure(on_failure)


def check_on_failure(value: Any) -> Any:
    """Check what shall choose if a selector fails: ``"raise"``, ``"first"`` or a selector that asks no model.

    Raises:
        ConfigError: it is something else.
    """
    plain = not isinstance(value, type) and has_sync_form(value) and not is_async(value)
    if plain or (isinstance(value, str) and value in (RAISE, FIRST)):
        return value
    raise refusal("on_failure", value, '"raise", "first", or a selector that asks no model, such as MajorityVote()')


def extra_signals_of(selector: Any) -> tuple[str, ...]:
    """Return the per-token signals that a selector reads where they are there, without needing them.

    They are in its attribute ``extra_signals``, if it has one, as ``TieBrokenVote`` does.
    """
    return tuple(getattr(selector, "extra_signals", ()))


def _rather_than(selector: Any) -> str:
    """Return what the error tells the user to give instead."""
    if isinstance(selector, type):
        return f"an object: {selector.__name__}(), not the class"
    if isinstance(selector, str):
        plain = {"".join(filter(str.isalnum, label.lower())): kind for label, kind in SELECTORS.items()}
        near = get_close_matches("".join(filter(str.isalnum, selector.lower())), plain, 1)
        known = ", ".join(f"{kind.__name__}()" for kind in SELECTORS.values())
        kind = plain[near[0]].__name__ if near else ""
        rather = f"selector={kind}(), after `from ec_agent.selectors import {kind}`" if near else f"one of {known}"
        return f"an object, not its name: {rather}"
    return "an object with name, signals and select(candidates), such as LowestCentroid()"
