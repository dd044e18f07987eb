"""The LLM calls of one rollout on one timeline, and the reward read off it. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ec_agent.errors import ConfigError
from ec_agent.numbers.entropy import MOST, FloatArray, as_timeline
from ec_agent.numbers.phases import HEPConfig, Phases, centroid_of_phases, config_of, high_entropy_phases
from ec_agent.numbers.signals import ENTROPY
from ec_agent.support.checks import flag, instance, mapping, one_of, repr_of, several, text, whole

_FEW = 1 / 16
"""Phases a token up to which they are remembered, of 16 bytes each: a timeline may have one for every other token."""

Capability = Literal["full", "sampled", "none"]
Likeliest = tuple[tuple[str, float], ...]
"""Candidates of one token, the likeliest first: texts, and probabilities in [0, 1] as the model gave them."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One run of a tool.

    Attributes:
        name: the tool's name.
        arguments: what it was given, as text, where texts were kept; cut where it is long.
        result: what it returned, likewise; ``None`` where it did not return.
        error: what it failed with, likewise.
    """

    name: str
    arguments: str | None = None
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One LLM call: its tokens' signals, and where and when it happened.

    Attributes:
        entropies: shape ``(tokens,)``, nats; NaN where a token has none. Shorter input is filled up with
            NaN to ``tokens``: a token without logprobs keeps its place in the timeline.
        tokens: generated tokens. Left out, it is the number of entropies; it stays ``None`` ("unknown")
            for a call without any, whose provider reported neither a count nor logprobs.
        model: name of the model, as the provider reported it.
        node: name of the graph node that made the call.
        started: start of the call, seconds since the epoch.
        ended: end of the call, seconds since the epoch.
        prompt_tokens: tokens of the prompt, where reported.
        cached_tokens: those of them that the provider read from its cache, where reported.
        signals: further per-token signals by name, each of shape ``(tokens,)``.
        texts: the token texts, where they were kept.
        capability: what its logprobs are good for: ``"full"``, a token or more came with its candidates; ``"sampled"``,
            only logprobs of the generated tokens themselves came; ``"none"``, neither. Left out, it is told by the
            entropies.
        partial: whether the answer broke off, or its reader did, before its end.
        constrained: whether the request held the answer to a grammar, a schema or a certain tool. The logprobs may be
            those before that constraint (llama.cpp's are): they describe the model, not the constrained sampler.
        tools: the tools that ran after this call had started and before the next one did.
        candidates: the likeliest candidates of each token, where they were kept.
        from_cache: whether an LLM cache on the client's side answered, and no model: it cost nothing.
        beside: generated tokens of other answers to the same request (``n=2``): on the bill, and on no timeline.
        unplaced: of the tokens without logprobs, how many may be elsewhere in the call than the timeline has them.
    """

    entropies: FloatArray
    tokens: int | None = None
    model: str | None = None
    node: str | None = None
    started: float | None = None
    ended: float | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    signals: Mapping[str, FloatArray] = field(default_factory=dict)
    texts: tuple[str, ...] | None = None
    capability: Capability | None = None
    partial: bool = False
    constrained: bool = False
    tools: tuple[ToolUse, ...] = ()
    candidates: tuple[Likeliest, ...] | None = None
    from_cache: bool = False
    beside: int = 0
    unplaced: int = 0

    def __post_init__(self) -> None:
        entropies = as_timeline(self.entropies)
        one_of("capability", self.capability, ("full", "sampled", "none", None))
        for name in ("partial", "constrained", "from_cache"):
            flag(name, getattr(self, name))
        if self.capability is None:
            object.__setattr__(self, "capability", "none" if np.isnan(entropies).all() else "full")
        tokens = (len(entropies) or None) if self.tokens is None else self.tokens
        if tokens is not None:
            tokens = whole("tokens", tokens, None, MOST, rather="a whole number, or leave it out")
        if tokens is not None and tokens < len(entropies):
            raise ConfigError(f"{len(entropies)} entropies for {tokens} generated tokens; give at most one per token")
        given = mapping("signals", self.signals, "a dict from the names of signals to one number per token each")
        signals = {name: as_timeline(values, f"signals[{name!r}]") for name, values in given.items()}
        for name, values in signals.items():
            if len(values) > (tokens or 0):
                raise ConfigError(
                    f"{len(values)} values of {name!r} for {tokens or 0} generated tokens; give at most one per token"
                )
        object.__setattr__(self, "tokens", None if tokens is None else int(tokens))
        object.__setattr__(self, "entropies", _filled(entropies, tokens or 0))
        object.__setattr__(self, "signals", {name: _filled(values, tokens or 0) for name, values in signals.items()})

    @property
    def generated(self) -> int:
        """Tokens that a model generated for it, those of other answers included: none where a cache answered."""
        return 0 if self.from_cache else (self.tokens or 0) + self.beside

    def signal(self, name: str) -> FloatArray:
        """The named per-token signal, shape ``(tokens,)``.

        Raises:
            ConfigError: the signal was not kept.
        """
        if text("signal", name) == ENTROPY:
            return self.entropies
        if name not in self.signals:
            raise ConfigError(
                f"signal {repr_of(name)} was not kept for this call; have the selector declare it in `signals`"
            )
        return self.signals[name]


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """The calls of one rollout, in call-start order, and their concatenated timeline.

    Attributes:
        calls: the LLM calls that count, in the order in which they started.
    """

    calls: tuple[Call, ...] = ()
    # What was found once stays true, for a call cannot change.
    _centroids: dict[tuple[HEPConfig, str], float | None] = field(default_factory=dict, init=False, repr=False)
    _phases: dict[tuple[HEPConfig, str], Phases] = field(default_factory=dict, init=False, repr=False)
    _counts: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def __init__(self, calls: Sequence[Call] = ()) -> None:
        object.__setattr__(self, "calls", several("calls", calls, Call, "a list of Call(...) objects"))
        for name in ("_centroids", "_phases", "_counts"):
            object.__setattr__(self, name, {})

    @classmethod
    def from_entropies(cls, *calls: ArrayLike | Sequence[float | None]) -> Trajectory:
        """A trajectory from entropies you already have, one sequence of shape ``(T,)`` per LLM call."""
        return cls([Call(as_timeline(entropies)) for entropies in calls])

    def __len__(self) -> int:
        """``L``: generated tokens in the timeline, those without an entropy included."""
        return sum(call.tokens or 0 for call in self.calls)

    @property
    def entropies(self) -> FloatArray:
        """The timeline: entropies of all calls one after the other, shape ``(L,)``, nats."""
        return self.signal(ENTROPY)

    def signal(self, name: str) -> FloatArray:
        """A per-token signal over the whole timeline, shape ``(L,)``.

        Raises:
            ConfigError: the signal was not kept.
        """
        if len(self.calls) == 1:
            return self.calls[0].signal(name)
        text("signal", name)
        return np.concatenate([np.empty(0), *(call.signal(name) for call in self.calls)])

    @property
    def scored_tokens(self) -> int:
        """How many tokens of the timeline have an entropy."""
        return self.count(ENTROPY)

    @property
    def coverage(self) -> float | None:
        """Share of the generated tokens that have an entropy, in [0, 1].

        ``None`` where it is not known: no token at all, or a call that reported neither usage nor logprobs.
        """
        return self.share(ENTROPY)

    def count(self, signal: str) -> int:
        """How many tokens of the timeline have this signal."""
        if text("signal", signal) not in self._counts:
            self._counts[signal] = int(np.count_nonzero(~np.isnan(self.signal(signal))))
        return self._counts[signal]

    def share(self, signal: str) -> float | None:
        """Share of the generated tokens that have this signal; ``None`` as for ``coverage``."""
        text("signal", signal)
        if len(self) == 0 or any(call.tokens is None for call in self.calls):
            return None
        return self.count(signal) / len(self)

    @property
    def unplaced_tokens(self) -> int:
        """How many tokens without an entropy may be elsewhere than the timeline has them; see ``Call``."""
        return sum(call.unplaced for call in self.calls)

    def phases(self, config: HEPConfig | None = None, signal: str = ENTROPY) -> Phases:
        """The High Entropy Phases of the timeline; see ``ec_agent.high_entropy_phases``.

        Args:
            config: the settings; ``None`` is ``HEPConfig()``.
            signal: the per-token signal to look at; the method's is the entropy.

        Returns:
            ``Phases(starts, durations)``; the arrays cannot be written to.
        """
        key = config_of(config), text("signal", signal)
        found = self._phases.get(key)
        if found is None:
            found = high_entropy_phases(self.signal(signal), key[0])
            for array in found:
                array.flags.writeable = False
            if len(found.starts) <= _FEW * len(self):
                self._phases[key] = found
        return found

    def centroid(self, config: HEPConfig | None = None, signal: str = ENTROPY) -> float | None:
        """The entropy centroid of the timeline, in [0, 1); ``None`` where there is no phase.

        Args:
            config: the settings; ``None`` is ``HEPConfig()``.
            signal: the per-token signal to look at; the method's is the entropy.
        """
        key = config_of(config), text("signal", signal)
        if key not in self._centroids:
            self._centroids[key] = centroid_of_phases(self.phases(config, signal), len(self))
        return self._centroids[key]


def reward(trajectory: Trajectory, config: HEPConfig | None = None, signal: str = ENTROPY) -> float | None:
    """Intrinsic reward of a rollout: ``1 - centroid``, in (0, 1], higher is better.

    Args:
        trajectory: the rollout's calls. Look at ``trajectory.coverage`` before trusting the number: this
            function scores whatever part of the timeline has entropies.
        config: settings of the phases; ``None`` is ``HEPConfig()``.
        signal: the per-token signal to look at; the method's is the entropy. Compare rewards of one signal only.

    Returns:
        The reward, or ``None`` where the rollout cannot be scored: not scored is never 0.

    Raises:
        ConfigError: an argument is of another kind, or the signal was not kept.

    Source: arXiv 2604.26173; docs/method.md sections 3 and 4.
    """
    held = instance("trajectory", trajectory, Trajectory, "a Trajectory; trajectory_of(...) makes one of messages")
    centroid = held.centroid(config, signal)
    return None if centroid is None else 1.0 - centroid


def likeliest(plain: Sequence[Sequence[Sequence[Any]]]) -> tuple[Likeliest, ...]:
    """A call's candidates out of the lists that JSON and checkpoints make of them."""
    return tuple(tuple((str(text), float(share)) for text, share in each) for each in plain)


def _filled(values: FloatArray, tokens: int) -> FloatArray:
    # A copy of its own: a timeline must not change with an array its maker goes on using.
    filled = np.full(tokens, np.nan)
    filled[: len(values)] = values
    filled.flags.writeable = False
    return filled
