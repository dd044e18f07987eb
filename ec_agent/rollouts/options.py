"""The arguments of ``best_of_n``, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langgraph.types import Send
from typing_extensions import TypedDict

from ec_agent.capture.filters import CallPredicate
from ec_agent.errors import ConfigError
from ec_agent.phases import HEPConfig
from ec_agent.selectors import Candidate, LowestCentroid, Selector
from ec_agent.signals import check_signals

OnMissing = Literal["exclude", "raise", "score"]
OnUnscored = Literal["raise", "first"]
Destination = str | Send | Sequence[str | Send]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the rollouts may use.

    Attributes:
        max_concurrency: how many rollouts run at once; ``None`` runs all n at once.
        recursion_limit: supersteps per rollout; one that needs more becomes a failed candidate. A limit bound to
            the agent itself does not apply: ``create_agent`` binds one near 10,000.
    """

    max_concurrency: int | None = None
    recursion_limit: int = 100

    def __post_init__(self) -> None:
        if self.max_concurrency is not None:
            whole("max_concurrency", self.max_concurrency)
        whole("recursion_limit", self.recursion_limit)


class BestOfNOptions(TypedDict, total=False):
    """The keyword arguments of ``best_of_n``.

    Attributes:
        selector: which rollout wins; ``LowestCentroid()`` by default.
        config: settings of the High Entropy Phases; ``HEPConfig()`` (1 / 80 / 2) by default.
        final_action: ``final_action(state, writes)`` says what a rollout would do next. By default: a new
            ``structured_response``, else the last AI message written, else everything written.
        route: ``route(winner)`` names the next node (or ``Send``s) in place of the winner's own ``goto``; the
            winner is a ``Candidate``. Declare the destinations when you add the node:
            ``builder.add_node("solve", best_of_n(...), destinations=(...))``.
        output: ``output(final_state)`` maps the agent's final state (a function's: its update) to an update of
            the outer state, for agents whose keys differ.
        selection_key: key of the outer state that receives the receipt as plain JSON.
        calls: which LLM calls count: a ``CallFilter`` or a function from ``CallInfo`` to bool.
        keep_logprobs: leave the provider's logprobs in the winner's messages; by default they are taken out,
            because 20 of them a token make a checkpoint some 170 times as large.
        keep_text: keep the token texts in the trajectories.
        on_missing: a call without logprobs: ``"exclude"`` leaves its rollout unscored where coverage falls
            below ``min_coverage``; ``"score"`` scores what exists, leaving calls of unknown length out of the
            share; ``"raise"`` stops at the first one with ``MissingLogprobsError``.
        min_coverage: smallest share of generated tokens with an entropy for a rollout to be scored.
        on_unscored: where no rollout can be scored: ``"raise"``, or ``"first"`` to take the first that ended.
        sampling: ``sampling(index)`` gives request parameters to set on a rollout's requests, such as
            ``{"seed": index, "temperature": 0.8}``; it reaches whatever goes through an ``openai`` client.
        limits: what the rollouts may use: ``Limits(max_concurrency=..., recursion_limit=...)``.
    """

    selector: Selector
    config: HEPConfig
    final_action: Callable[[Any, list[tuple[str, Any]]], Any] | None
    route: Callable[[Candidate], Destination] | None
    output: Callable[[Any], Mapping[str, Any]] | None
    selection_key: str | None
    calls: CallPredicate | None
    keep_logprobs: bool
    keep_text: bool
    on_missing: OnMissing
    min_coverage: float
    on_unscored: OnUnscored
    sampling: Callable[[int], Mapping[str, Any]] | None
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything ``best_of_n`` was told, checked; :class:`BestOfNOptions` says what each field means."""

    n: int = 8
    selector: Selector = field(default_factory=LowestCentroid)
    config: HEPConfig = field(default_factory=HEPConfig)
    final_action: Callable[[Any, list[tuple[str, Any]]], Any] | None = None
    route: Callable[[Candidate], Destination] | None = None
    output: Callable[[Any], Mapping[str, Any]] | None = None
    selection_key: str | None = None
    calls: CallPredicate | None = None
    keep_logprobs: bool = False
    keep_text: bool = False
    on_missing: OnMissing = "exclude"
    min_coverage: float = 0.5
    on_unscored: OnUnscored = "raise"
    sampling: Callable[[int], Mapping[str, Any]] | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        whole("n", self.n)
        if isinstance(self.selector, type) or not isinstance(self.selector, Selector):
            raise ConfigError(
                f"selector is {self.selector!r}; give an object with name, signals and select(candidates): "
                "LowestCentroid(), not the class"
            )
        check_signals(self.selector.signals)
        if not isinstance(self.config, HEPConfig):
            raise ConfigError(f"config is {self.config!r}; give a HEPConfig(...)")
        if not isinstance(self.limits, Limits):
            raise ConfigError(f"limits is {self.limits!r}; give Limits(...)")
        for name in ("final_action", "route", "output", "calls", "sampling"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ConfigError(f"{name} is {value!r}; give a function or None")
        _one_of("on_missing", self.on_missing, ("exclude", "raise", "score"))
        _one_of("on_unscored", self.on_unscored, ("raise", "first"))
        share = self.min_coverage
        if isinstance(share, bool) or not isinstance(share, float | int) or not 0 <= share <= 1:
            raise ConfigError(f"min_coverage is {share!r}; give a share from 0 to 1")
        for name in ("keep_logprobs", "keep_text"):
            _one_of(name, getattr(self, name), (True, False))
        if self.selection_key is not None and not (self.selection_key and isinstance(self.selection_key, str)):
            raise ConfigError(f"selection_key is {self.selection_key!r}; give the name of a state key or None")

    def sampling_of(self, index: int) -> dict[str, Any]:
        """The sampling parameters of one rollout."""
        if self.sampling is None:
            return {}
        parameters = self.sampling(index)
        if not isinstance(parameters, Mapping):
            raise ConfigError(
                f"sampling({index}) returned {parameters!r}; return request parameters: {{'seed': {index}}}, say"
            )
        return dict(parameters)


def whole(name: str, value: Any) -> int:
    """``value`` as a whole number of at least 1.

    Raises:
        ConfigError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}; give a whole number of at least 1")
    return value


def _one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; give one of {', '.join(map(repr, allowed))}")
