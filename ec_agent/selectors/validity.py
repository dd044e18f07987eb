"""Whether an order means something: sentences for the receipt.

One yardstick serves all that concerns positions. The centroid of ``MIN_PHASES`` phases that lie anywhere, as if by
chance, has a standard error of ``sqrt(1/12 / 3)``, a sixth of the timeline. What alone could move a centroid further
than that, could have made the order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ec_agent.numbers.coverage import NO_MODEL
from ec_agent.numbers.signals import ENTROPY, check_signal
from ec_agent.selectors.base import Candidate, candidates_of
from ec_agent.support.checks import flag

MIN_PHASES = 3
"""Fewer, and the centroid is a position: one phase's own, or a point between two where there may be nothing at all."""

CHANCE = 1 / 6
"""Standard error, as a share of the timeline, of the mean of ``MIN_PHASES`` places drawn evenly."""

MIN_TOP_TOKENS = 10
"""The threshold is an order statistic: with m tokens expected above it, the number that truly belongs there varies by
about ``sqrt(m)``. At 10 that is a third: "the top 1 %" is then the top 0.7 to 1.3 %. At 1 it is all from 0 to 2 %."""

UNPLACED = 0.02
"""Share of the timeline that may be out of place without a word: no phase moves by more than by that."""

ARGMAX_TOLERANCE = 0.02
"""As a share of the timeline, and at least a token. A centroid that had nothing to do with the highest token would
lie so close to it in 4 % of rollouts."""

LENGTH_RATIO = 2.0
"""Where one rollout is the other and as much again, a phase in the middle of it moves by a quarter of the timeline:
more than ``CHANCE``."""

AFFECTED = 0.3
"""Share of the rollouts from which a warning is given. A selection compares pairs: with 30 % of the rollouts
affected, half of the pairs are (``1 - 0.7 ** 2``)."""

OTHERWISE = "use longer rollouts or another selector"
COVER = "ask every call for logprobs, or use MajorityVote()"
"""What to do, where several warnings end with the same."""


def validity(candidates: Sequence[Candidate], signal: str = ENTROPY, *, phases: bool = True) -> tuple[str, ...]:
    """What to know before trusting an order of these candidates.

    Args:
        candidates: the rollouts. Of those that cannot be ranked, only the number matters.
        signal: the per-token signal that was read.
        phases: whether the order is one of centroids of High Entropy Phases. If not, only coverage and lengths are
            looked at.

    Returns:
        Plain sentences, each ending with what to do; none where nothing speaks against the order. They are about, in
        this order: too few phases (``MIN_PHASES``), thresholds that rest on a handful of tokens (``MIN_TOP_TOKENS``),
        centroids that are the place of the one highest token (``ARGMAX_TOLERANCE``), tokens whose place is not known
        (``UNPLACED``), low and unequal coverage (``CHANCE``), rollouts left out for theirs, rollouts that called no
        model, very unequal lengths (``LENGTH_RATIO``). Failed rollouts are in the receipt, not here.

    Raises:
        ConfigError: the candidates' calls were kept without the signal, or an argument is of another kind.
    """
    candidates = candidates_of(candidates)
    check_signal(signal)
    flag("phases", phases)
    known = [c for c in candidates if c.eligible and c.trajectory.count(signal)]
    if not known:
        return ()
    found = [_few_phases(known, signal), _few_tokens(known, signal), _argmax(known, signal)] if phases else []
    found += [_unplaced(known)] if phases else []
    found += [_low_coverage(known, signal), _unequal_coverage(known, signal), _left_out(candidates)]
    found += [_without_a_model(candidates), _unequal_lengths(known)]
    return tuple(sentence for sentence in found if sentence)


def affected(flags: Sequence[bool]) -> str | None:
    """Whom a warning is about, ``"3 of 8 rollouts"``; ``None`` where these are too few to matter (``AFFECTED``)."""
    count = sum(flags)
    return f"{count} of {len(flags)} rollouts" if count and count >= AFFECTED * len(flags) else None


def _few_phases(known: Sequence[Candidate], signal: str) -> str | None:
    counts = [len(c.trajectory.phases(c.config, signal).starts) for c in known]
    whom = affected([0 < count < MIN_PHASES for count in counts])
    return whom and (
        f"{whom} have fewer than {MIN_PHASES} phases: the centroid of so few is a position, not a centre of mass; "
        f"{OTHERWISE}"
    )


def _few_tokens(known: Sequence[Candidate], signal: str) -> str | None:
    above = [c.trajectory.count(signal) * c.config.top_percent / 100 for c in known]
    percent = min(c.config.top_percent for c in known)  # as a rule all have the same settings
    whom = affected([count < MIN_TOP_TOKENS for count in above])
    enough = (
        f"use rollouts of {MIN_TOP_TOKENS * 100 / percent:,.0f} tokens, or another selector" if percent else OTHERWISE
    )
    return whom and (
        f"{whom} are short: the top {percent:g} % of their tokens are fewer than {MIN_TOP_TOKENS} (median "
        f"{np.median(above):.3g}), so a handful of tokens decides where phases start; {enough}"
    )


def _argmax(known: Sequence[Candidate], signal: str) -> str | None:
    whom = affected([_at_the_highest(c, signal) for c in known])
    return whom and (
        f"{whom} have their centroid where their highest {signal} is: it tells of that one token alone; {OTHERWISE}"
    )


def _at_the_highest(candidate: Candidate, signal: str) -> bool:
    centroid = candidate.trajectory.centroid(candidate.config, signal)
    if centroid is None:
        return False
    values = candidate.trajectory.signal(signal)
    highest = np.nanargmax(values) + 0.5  # a phase of this token alone sits in its middle
    return bool(abs(centroid * len(values) - highest) <= max(1.0, ARGMAX_TOLERANCE * len(values)))


def _unplaced(known: Sequence[Candidate]) -> str | None:
    # One rollout is enough: it is compared with all others.
    lost = [c for c in known if c.trajectory.unplaced_tokens > UNPLACED * len(c.trajectory)]
    most = max((c.trajectory.unplaced_tokens / len(c.trajectory) for c in lost), default=0.0)
    if not lost:
        return None
    return (
        f"{len(lost)} of {len(known)} rollouts have tokens without logprobs whose place is not known ({most:.0%} of "
        "the timeline at worst): ask without streaming, or for running counts (docs/providers.md)"
    )


def _low_coverage(known: Sequence[Candidate], signal: str) -> str | None:
    shares = _shares(known, signal)
    whom = affected([share < 1 - CHANCE for share in shares])
    return whom and (
        f"{whom} have the {signal} of less than {1 - CHANCE:.0%} of their tokens (of {min(shares):.0%} at worst): "
        f"what was not seen could turn the order; {COVER}"
    )


def _unequal_coverage(known: Sequence[Candidate], signal: str) -> str | None:
    shares = _shares(known, signal)
    if not shares or max(shares) - min(shares) <= CHANCE:
        return None
    return (
        f"coverage differs between rollouts, from {min(shares):.0%} to {max(shares):.0%}: "
        f"they are compared by different parts of what they did; {COVER}"
    )


def _left_out(candidates: Sequence[Candidate]) -> str | None:
    whom = affected([c.unscored not in (None, NO_MODEL) for c in candidates if c.error is None])
    return whom and f"{whom} have logprobs for too few of their tokens: the order is that of the others alone; {COVER}"


def _without_a_model(candidates: Sequence[Candidate]) -> str | None:
    whom = affected([c.unscored == NO_MODEL for c in candidates if c.error is None])
    return (
        whom
        and f"{whom} called no model, so nothing tells how sure they were: the order is that of the others alone; "
        "leave it where that is meant, else call models through LangChain or an openai client"
    )


def _unequal_lengths(known: Sequence[Candidate]) -> str | None:
    lengths = [len(c.trajectory) for c in known]
    if max(lengths) < LENGTH_RATIO * min(lengths):
        return None
    return (
        f"rollouts differ much in length, from {min(lengths)} to {max(lengths)} tokens: "
        "the order may follow when they stopped; compare with Shortest(), and leave it where that picks another"
    )


def _shares(known: Sequence[Candidate], signal: str) -> list[float]:
    # Unknown is unknown: such a rollout is ranked only where the user said so (on_missing="score").
    return [share for c in known if (share := c.trajectory.share(signal)) is not None]
