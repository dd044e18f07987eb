"""``ScoreThreshold``: stop at the first rollout whose score is good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ec_agent.errors import ConfigError
from ec_agent.numbers.coverage import unscored
from ec_agent.numbers.signals import leading
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.lowest_centroid import LowestCentroid
from ec_agent.selectors.mean_logprob import MeanLogprob
from ec_agent.selectors.raw_centroid import RawCentroid
from ec_agent.selectors.scoring import ScoreSelector
from ec_agent.stopping.base import Stop
from ec_agent.stopping.wave_plan import WavePlan, waves_of
from ec_agent.support.checks import checked, number, or_none, refusal


@dataclass(frozen=True, slots=True)
class ScoreThreshold(WavePlan):
    """Stop at the first rollout whose score is good enough; it wins. If a wave has several, the selector chooses.

    The threshold comes from *other* tasks of the same model: a quantile of the scores of earlier rollouts, say, as
    ``ec-agent calibrate --stop`` finds it. It is a bet: that scores of other tasks say what is good on this one.

    A score must be a rollout's own. Votes are none, for they depend on the others. Entropy centroids are a rollout's
    own once it has ended, but they are positions in *its* timeline. No threshold on them is known that means the same
    from task to task, so they are refused.

    Attributes:
        threshold: the score to reach, in the unit of the selector's scores. A score equal to it is enough; the
            selector's ``lower_is_better`` says whether higher or lower scores are.
        selector: the ``ScoreSelector`` that scores; another selector may choose the winner.
        waves: how many rollouts to start first, how many to add next, and so on; the last number is repeated up to n.
            ``None``: one at a time.

    Raises:
        ConfigError: an argument is out of range, or the selector gives no score that a threshold could be set on; from
            ``enough``: the candidates were kept without the signal that it reads.
    """

    label: ClassVar[str] = "score_threshold"

    threshold: float
    selector: ScoreSelector = field(default_factory=MeanLogprob)
    waves: Sequence[int] | None = None

    def __post_init__(self) -> None:
        checked(self, "threshold", number, "a finite number, in the unit of the selector's scores")
        checked(self, "selector", _scoring)
        checked(self, "waves", or_none, waves_of)

    @property
    def name(self) -> str:
        """The plan's name in tables: the score, the threshold, and the waves if they are given."""
        sign = "<=" if self.selector.lower_is_better else ">="
        waves = "" if self.waves is None else f", waves={self.waves}"
        return f"{self.label}({self.selector.name} {sign} {self.threshold:.6g}{waves})"

    @property
    def signals(self) -> tuple[str, ...]:
        """The per-token signals that its selector reads."""
        return self.selector.signals

    def seen(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | None:
        """Return ``Stop`` if a score is good enough. Scores of fewer than half of a rollout's tokens do not count."""
        scores = {candidate.index: self.score(candidate) for candidate in candidates}
        good = {index: score for index, score in scores.items() if score is not None and self.passes(score)}
        if not good:
            return None
        best = (min if self.selector.lower_is_better else max)(good, key=good.__getitem__)
        return Stop(f"rollout {best} has a {self.selector.name} of {good[best]:.6g}", among=tuple(good))

    def passes(self, score: float) -> bool:
        """Whether a score is good enough."""
        return score <= self.threshold if self.selector.lower_is_better else score >= self.threshold

    def score(self, candidate: Candidate) -> float | None:
        """Return the candidate's score; ``None`` if it has none, or one of fewer than half of its tokens."""
        signal = leading(self.selector.signals)
        if signal is not None and unscored(candidate.trajectory, signal) is not None:
            return None
        return self.selector.score(candidate)


def _scoring(name: str, value: Any) -> ScoreSelector:
    if isinstance(value, LowestCentroid | RawCentroid):
        raise ConfigError(
            f"{name} is {value.name}: a centroid is a position in the rollout's own timeline, and no threshold on it "
            "is known to mean the same from task to task; give another score, MeanLogprob() say, or use "
            "Agreement(), which works with every selector"
        )
    if isinstance(value, ScoreSelector):
        return value
    raise refusal(name, value, "a selector that scores each rollout on its own: MeanLogprob(), say")
