"""Print the figures of docs/stopping.md: stopping plans replayed over the two stored families, in some minutes."""

from __future__ import annotations

import numpy as np
from stored_families import stored

from ec_agent.evaluation.statistics.bootstrap import Estimate
from ec_agent.evaluation.statistics.plan_comparison import PlanSummary, compare_plans
from ec_agent.evaluation.statistics.plan_replays import Replayer
from ec_agent.evaluation.tuning_stops import tune_stop
from ec_agent.rollouts.settings_files import Setting
from ec_agent.selectors import LowestCentroid, MajorityVote, MeanLogprob
from ec_agent.stopping import Agreement, Beta, OutOfReach, ScoreThreshold

EARLY = Agreement([2, 2, 4], 0.75)
VOTED = (None, OutOfReach(), OutOfReach([1]), Agreement(), Agreement([3, 5]), EARLY, Beta(), Beta(0.9))
SHIELDED = (None, Agreement(), EARLY, Beta())
CANCELLED = (OutOfReach(), Agreement(), EARLY, Beta())
FOLDS, SEED = 5, 0


def shown(estimate: Estimate) -> str:
    low, high = estimate.low, estimate.high
    return f"{estimate.value:+.3f}" + ("" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]")


def told(row: PlanSummary) -> str:
    numbers = f"accuracy {row.accuracy.value:.3f}, change {shown(row.difference)}, tokens {row.tokens.value:.3f}"
    return (
        f"{row.plan:46} {numbers}, bill {row.bill.value:.3f}, time {row.length.value:.3f}, same {row.same_winner:.4f}"
    )


def threshold_from_others(family: str, share: float) -> tuple[float, float]:
    """Accuracy and rollouts of a threshold on the mean logprob, at that quantile of the other folds' scores."""
    results, selector = stored(family), MeanLogprob()
    scores = [[selector.score(candidate) for candidate in result.candidates] for result in results]
    found = []
    for fold in np.array_split(np.random.default_rng(SEED).permutation(len(results)), FOLDS):
        rest = [score for task in set(range(len(results))) - set(fold.tolist()) for score in scores[task]]
        plan = ScoreThreshold(float(np.quantile(rest, share)), selector)
        done = Replayer([results[task] for task in fold], selector).play(plan)
        found += list(zip(done.accuracy, done.started, strict=True))
    accuracy, started = np.mean(found, axis=0)
    return float(accuracy), float(started)


def calibrated(family: str) -> None:
    """What ``ec-agent calibrate --stop`` makes of a family: the outer estimates of the plans that it chooses."""
    for selector in ("majority_vote", "mean_logprob"):
        for errors in (0, 1):
            found = tune_stop(stored(family), Setting(selector), standard_errors=errors)
            numbers = f"minus all {shown(found.expected_difference)}, tokens {found.expected_tokens.value:.3f}"
            span = f"[{found.expected_tokens.low:.2f}, {found.expected_tokens.high:.2f}]"
            bill = f"bill {found.expected_bill.value:.3f}, chosen on all: {found.chosen}"
            print(f"{family}, {selector}, {errors} standard errors: {numbers} {span}, {bill}", flush=True)


def main() -> None:
    for family in ("red2", "bfcl"):
        for selector, plans in ((MajorityVote(), VOTED), (LowestCentroid(), SHIELDED), (MeanLogprob(), SHIELDED)):
            print(f"\n{family}, {selector.name}")
            for row in compare_plans(stored(family), plans, selector):
                print(told(row), flush=True)
        print(f"\n{family}, all at once, the rest cancelled")
        for row in compare_plans(stored(family), CANCELLED, MajorityVote(), cancel=True):
            print(told(row), flush=True)
        for share in (0.5, 0.7):
            accuracy, started = threshold_from_others(family, share)
            print(f"mean logprob, quantile {share:g} of other tasks: {accuracy:.3f} with {started:.2f} rollouts")
        calibrated(family)


if __name__ == "__main__":
    main()
