"""Warns where the order of the candidates may mean nothing: one sentence per reason, for the receipt.

The limits for positions come from one number. If ``MIN_PHASES`` (3) phases lie at random places, their centroid has a
standard error of ``sqrt(1/12 / 3)``, a sixth of the timeline. If something else alone can move a centroid by more than
that, it may be what decided the order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ec_agent.numbers.coverage import NO_MODEL
from ec_agent.numbers.signals import ENTROPY, check_signal
from ec_agent.selectors.base import Candidate, candidates_of
from ec_agent.support.checks import flag
from ec_agent.support.number_formats import percent

MIN_PHASES = 3
"""Below this number of phases, a centroid is no centre of mass. One phase has its own position as centroid, and two
have a point between them, where the model may have been sure."""

CHANCE = 1 / 6
"""Standard error of the mean of ``MIN_PHASES`` random places, as a share of the timeline."""

MIN_TOP_TOKENS = 10
"""Smallest number of tokens expected above the high threshold. With m such tokens, the number that really belongs there
varies by about ``sqrt(m)``. For m = 10 that is a third: "the top 1 %" can be the top 0.7 to 1.3 %. For m = 1 it can be
anything from 0 to 2 %."""

UNPLACED = 0.02
"""Share of the timeline up to which tokens without a known place are accepted. They move a phase by at most this."""

ARGMAX_TOLERANCE = 0.02
"""A centroid this close to the token with the highest signal, as a share of the timeline, counts as being there. By
chance alone, 4 % of the centroids would be this close."""

LENGTH_RATIO = 2.0
"""From this ratio of the longest to the shortest rollout on, a warning is given. If a rollout goes on until it is twice
as long, a phase in its middle moves by a quarter of the timeline, which is more than ``CHANCE``."""

AFFECTED = 0.3
"""A warning is given if at least this share of the rollouts is affected. A selection compares pairs of rollouts: if
30 % of the rollouts are affected, half of the pairs are (``1 - 0.7 ** 2``)."""

OTHERWISE = "use longer rollouts or another selector"
COVER = "ask every call for logprobs, or use MajorityVote()"
"""Advice that several warnings end with."""


def validity(candidates: Sequence[Candidate], signal: str = ENTROPY, *, phases: bool = True) -> tuple[str, ...]:
    """Return warnings about an order of these candidates: reasons why it may mean nothing.

    Args:
        candidates: the rollouts. Those that cannot be ranked are only counted.
        signal: the per-token signal that the selector reads.
        phases: whether the selector ranks by centroids of High Entropy Phases. If not, only coverage and lengths are
            checked.

    Returns:
        Plain sentences, each ending with what to do. Empty if there is no objection. The subjects, in this order: too
        few phases (``MIN_PHASES``), thresholds that depend on a few tokens (``MIN_TOP_TOKENS``), centroids that are
        just the place of the highest token (``ARGMAX_TOLERANCE``), tokens whose place is not known (``UNPLACED``), low
        coverage and unequal coverage (``CHANCE``), rollouts left out because of low coverage, rollouts that called no
        model, very unequal lengths (``LENGTH_RATIO``). Failed rollouts are not mentioned; the receipt lists them.

    Raises:
        ConfigError: the signal was not kept for a call, or an argument has the wrong type.
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
    """Return the subject of a warning, such as ``"3 of 8 rollouts"``, or ``None`` if too few are affected.

    Args:
        flags: for each rollout, whether it is affected. The limit is ``AFFECTED``.
    """
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
    percent = min(c.config.top_percent for c in known)  # usually all candidates have the same settings
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
        f"{whom} have their centroid where their highest {signal} is, so it depends on that one token; {OTHERWISE}"
    )


def _at_the_highest(candidate: Candidate, signal: str) -> bool:
    centroid = candidate.trajectory.centroid(candidate.config, signal)
    if centroid is None:
        return False
    values = candidate.trajectory.signal(signal)
    highest = np.nanargmax(values) + 0.5  # the centroid of a phase of one token is the middle of the token
    return bool(abs(centroid * len(values) - highest) <= max(1.0, ARGMAX_TOLERANCE * len(values)))


def _unplaced(known: Sequence[Candidate]) -> str | None:
    # One affected rollout is enough for the warning, because it is compared with all others.
    lost = [c for c in known if c.trajectory.unplaced_tokens > UNPLACED * len(c.trajectory)]
    most = max((c.trajectory.unplaced_tokens / len(c.trajectory) for c in lost), default=0.0)
    if not lost:
        return None
    return (
        f"{len(lost)} of {len(known)} rollouts have tokens without logprobs whose place is not known ({percent(most)} "
        "of the timeline at worst): ask without streaming, or for running counts (docs/providers.md)"
    )


def _low_coverage(known: Sequence[Candidate], signal: str) -> str | None:
    shares = _shares(known, signal)
    whom = affected([share < 1 - CHANCE for share in shares])
    return whom and (
        f"{whom} have the {signal} of less than {1 - CHANCE:.0%} of their tokens (of {percent(min(shares))} at worst): "
        f"the other tokens could change the order; {COVER}"
    )


def _unequal_coverage(known: Sequence[Candidate], signal: str) -> str | None:
    shares = _shares(known, signal)
    if not shares or max(shares) - min(shares) <= CHANCE:
        return None
    return (
        f"coverage differs between rollouts, from {percent(min(shares))} to {percent(max(shares))}: "
        f"so different parts of them are compared; {COVER}"
    )


def _left_out(candidates: Sequence[Candidate]) -> str | None:
    whom = affected([c.unscored not in (None, NO_MODEL) for c in candidates if c.error is None])
    return whom and f"{whom} have logprobs for too few of their tokens, so only the others are ranked; {COVER}"


def _without_a_model(candidates: Sequence[Candidate]) -> str | None:
    whom = affected([c.unscored == NO_MODEL for c in candidates if c.error is None])
    return (
        whom
        and f"{whom} called no model, so they have no logprobs, and only the others are ranked; leave it if "
        "this is intended, else call models through LangChain or an openai client"
    )


def _unequal_lengths(known: Sequence[Candidate]) -> str | None:
    lengths = [len(c.trajectory) for c in known]
    if max(lengths) < LENGTH_RATIO * min(lengths):
        return None
    return (
        f"rollouts differ much in length, from {min(lengths)} to {max(lengths)} tokens: "
        "the order may reflect nothing but their length; compare with Shortest(), and ignore this if it picks another"
    )


def _shares(known: Sequence[Candidate], signal: str) -> list[float]:
    # Rollouts of unknown coverage are left out. They are ranked only if the user said on_missing="score".
    return [share for c in known if (share := c.trajectory.share(signal)) is not None]
