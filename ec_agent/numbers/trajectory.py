"""The LLM calls of one rollout, joined to one timeline, and the reward computed from it. NumPy only."""

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
"""A timeline's phases are kept in memory only if there are at most this many per token. Each takes 16 bytes, and there
can be one for every second token."""

Capability = Literal["full", "sampled", "none"]
Likeliest = tuple[tuple[str, float], ...]
"""The candidates of one token, the likeliest first: pairs of a text and its probability in [0, 1]."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One run of a tool.

    Attributes:
        name: the tool's name.
        arguments: its arguments as text, cut if it is long. ``None`` if texts are not kept.
        result: what it returned, as text, cut if it is long. ``None`` if it failed, or if texts are not kept.
        error: the error it failed with, as text, cut if it is long. ``None`` if it did not fail, or if texts are not
            kept.
    """

    name: str
    arguments: str | None = None
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One LLM call: the signals of its tokens, and where and when it was made.

    Whatever keeps calls (checkpoints, trace files, tables) derives its columns from these fields; see
    ``ec_agent/numbers/call_fields.py``.

    Attributes:
        entropies: shape ``(tokens,)``, nats, NaN where a token has no entropy. A shorter input is filled up with NaN
            to ``tokens``, because a token without logprobs keeps its place in the timeline.
        tokens: number of generated tokens. If left out, it is the number of entropies. It stays ``None`` ("unknown")
            if there are no entropies either: the provider reported neither a count nor logprobs.
        model: name of the model, as the provider reported it.
        node: name of the graph node that made the call.
        started: when the call started, in seconds since the epoch.
        ended: when the call ended, in seconds since the epoch.
        prompt_tokens: number of tokens of the prompt, if reported.
        cached_tokens: how many of the prompt's tokens the provider read from its cache, if reported.
        signals: further per-token signals by name, each of shape ``(tokens,)``.
        capability: which logprobs came. ``"full"``: at least one token came with its candidates. ``"sampled"``: only
            the logprobs of the generated tokens came. ``"none"``: no logprobs came. If left out, it is ``"full"`` if
            there is an entropy, else ``"none"``.
        partial: whether the answer is incomplete: it broke off, or its reader stopped reading.
        constrained: whether the request forced the form of the answer by a grammar, a schema or a certain tool. Some
            servers, llama.cpp for one, return the logprobs from before that constraint. They describe the model then,
            not the constrained sampler.
        texts: the text of each token, or ``None`` if texts are not kept.
        tools: the tools that ran after this call had started and before the next call started.
        candidates: the likeliest candidates of each token, or ``None`` if they are not kept.
        from_cache: whether the answer came from an LLM cache of the client, so that no model ran and nothing was paid.
        unplaced: number of tokens without logprobs whose place within the call is a guess.
        beside: number of tokens of further answers to the same request (``n=2``). They are paid for, but the rollout
            did not continue from them, so they are not in its timeline.
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
    capability: Capability | None = None
    partial: bool = False
    constrained: bool = False
    texts: tuple[str, ...] | None = None
    tools: tuple[ToolUse, ...] = ()
    candidates: tuple[Likeliest, ...] | None = None
    from_cache: bool = False
    unplaced: int = 0
    beside: int = 0

    def __post_init__(self) -> None:
        entropies = as_timeline(self.entropies)
        if self.capability is not None:
            one_of("capability", self.capability, ("full", "sampled", "none", None))
        for name in ("partial", "constrained", "from_cache"):
            if type(value := getattr(self, name)) is not bool:
                flag(name, value)
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
        """Number of tokens that the model generated, including further answers; 0 if a cache answered."""
        return 0 if self.from_cache else (self.tokens or 0) + self.beside

    def signal(self, name: str) -> FloatArray:
        """Return a per-token signal by its name, shape ``(tokens,)``, NaN where a token does not have it.

        Raises:
            ConfigError: the signal was not kept.
        """
        if name is ENTROPY or text("signal", name) == ENTROPY:
            return self.entropies
        if name not in self.signals:
            raise ConfigError(
                f"signal {repr_of(name)} was not kept for this call; have the selector declare it in `signals`"
            )
        return self.signals[name]


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """The LLM calls of one rollout. Their tokens, one call after the other, are its timeline.

    Attributes:
        calls: the LLM calls, in the order in which they started. Calls that a filter left out are not among them.
    """

    calls: tuple[Call, ...] = ()
    # Results are kept: they stay true, because a call cannot change.
    _centroids: dict[tuple[HEPConfig, str], float | None] = field(default_factory=dict, init=False, repr=False)
    _phases: dict[tuple[HEPConfig, str], Phases] = field(default_factory=dict, init=False, repr=False)
    _counts: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _length: int = field(default=0, init=False, repr=False)

    def __init__(self, calls: Sequence[Call] = ()) -> None:
        object.__setattr__(self, "calls", several("calls", calls, Call, "a list of Call(...) objects"))
        object.__setattr__(self, "_length", sum([call.tokens or 0 for call in self.calls]))
        for name in ("_centroids", "_phases", "_counts"):
            object.__setattr__(self, name, {})

    @classmethod
    def from_entropies(cls, *calls: ArrayLike | Sequence[float | None]) -> Trajectory:
        """Make a trajectory from entropies that you have, in nats: one sequence of shape ``(T,)`` per LLM call."""
        return cls([Call(as_timeline(entropies)) for entropies in calls])

    def __len__(self) -> int:
        """Number of generated tokens in the timeline (``L``), including those without an entropy."""
        return self._length

    @property
    def entropies(self) -> FloatArray:
        """The timeline: the entropies of all calls, one after the other, shape ``(L,)``, nats."""
        return self.signal(ENTROPY)

    def signal(self, name: str) -> FloatArray:
        """Return a per-token signal of the whole timeline, shape ``(L,)``, NaN where a token does not have it.

        Raises:
            ConfigError: the signal was not kept.
        """
        if len(self.calls) == 1:
            return self.calls[0].signal(name)
        text("signal", name)
        return np.concatenate([np.empty(0), *(call.signal(name) for call in self.calls)])

    @property
    def scored_tokens(self) -> int:
        """Number of tokens in the timeline that have an entropy."""
        return self.count(ENTROPY)

    @property
    def coverage(self) -> float | None:
        """Share of the generated tokens that have an entropy, in [0, 1].

        ``None`` if it is unknown: there is no token, or a call reported neither usage nor logprobs.
        """
        return self.share(ENTROPY)

    def count(self, signal: str) -> int:
        """Return the number of tokens in the timeline that have this signal."""
        if type(signal) is not str or signal not in self._counts:
            text("signal", signal)
            self._counts[signal] = int(np.count_nonzero(~np.isnan(self.signal(signal))))
        return self._counts[signal]

    def share(self, signal: str) -> float | None:
        """Return the share of the generated tokens that have this signal; ``None`` if unknown, as for ``coverage``."""
        _checked(signal)
        if len(self) == 0 or None in [call.tokens for call in self.calls]:
            return None
        return self.count(signal) / len(self)

    @property
    def unplaced_tokens(self) -> int:
        """Number of tokens without logprobs whose place in their call is a guess; see ``Call.unplaced``."""
        return sum(call.unplaced for call in self.calls)

    def phases(self, config: HEPConfig | None = None, signal: str = ENTROPY) -> Phases:
        """Find the High Entropy Phases of the timeline; see ``ec_agent.high_entropy_phases``.

        Args:
            config: the settings. ``None`` means ``HEPConfig()``.
            signal: the per-token signal to use. The paper's method uses the entropy.

        Returns:
            ``Phases(starts, durations)``, read-only arrays of shape ``(P,)``.

        Raises:
            ConfigError: the signal was not kept.
        """
        key = config_of(config), _checked(signal)
        found = self._phases.get(key)
        if found is None:
            found = high_entropy_phases(self.signal(signal), key[0])
            for array in found:
                array.flags.writeable = False
            if len(found.starts) <= _FEW * len(self):
                self._phases[key] = found
        return found

    def centroid(self, config: HEPConfig | None = None, signal: str = ENTROPY) -> float | None:
        """Return the entropy centroid of the timeline, in [0, 1), or ``None`` if there is no phase.

        Args:
            config: the settings. ``None`` means ``HEPConfig()``.
            signal: the per-token signal to use. The paper's method uses the entropy.

        Raises:
            ConfigError: the signal was not kept.
        """
        key = config_of(config), _checked(signal)
        if key not in self._centroids:
            self._centroids[key] = centroid_of_phases(self.phases(config, signal), len(self))
        return self._centroids[key]


def reward(trajectory: Trajectory, config: HEPConfig | None = None, signal: str = ENTROPY) -> float | None:
    """Compute the reward of a rollout: ``1 - centroid``, in (0, 1]. Higher is better.

    Args:
        trajectory: the calls of the rollout. Look at ``trajectory.coverage`` before you trust the number: tokens
            without an entropy are ignored, however many they are.
        config: the settings of the phases. ``None`` means ``HEPConfig()``.
        signal: the per-token signal to use. The paper's method uses the entropy. Rewards from different signals
            cannot be compared.

    Returns:
        The reward, or ``None`` if the rollout has no phase. It is unscored then, which is not a reward of 0.

    Raises:
        ConfigError: an argument has the wrong type, or the signal was not kept.

    Source: arXiv 2604.26173; docs/method.md sections 3 and 4.
    """
    held = instance("trajectory", trajectory, Trajectory, "a Trajectory; trajectory_of(...) makes one of messages")
    centroid = held.centroid(config, signal)
    return None if centroid is None else 1.0 - centroid


def _checked(signal: Any) -> str:
    """Return the name of a signal, after checking that it is a text."""
    return signal if signal is ENTROPY else text("signal", signal)


def likeliest(plain: Sequence[Sequence[Sequence[Any]]]) -> tuple[Likeliest, ...]:
    """Turn a call's candidates back into tuples; JSON and checkpoints return them as lists."""
    return tuple(tuple((str(text), float(share)) for text, share in each) for each in plain)


def _filled(values: FloatArray, tokens: int) -> FloatArray:
    # A copy, because the caller may go on writing to its array, and a call must not change.
    filled = np.full(tokens, np.nan)
    filled[: len(values)] = values
    filled.flags.writeable = False
    return filled
