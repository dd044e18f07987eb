"""Print the figures of docs/results.md on probabilities: fitted on the two stored families, in some minutes.

It needs scikit-learn: pip install -e '.[calibrate]'.
"""

from __future__ import annotations

from stored_families import stored

from ec_agent.evaluation.report.certainty_shown import both, points, value
from ec_agent.evaluation.tuning_probability import fit_probability
from ec_agent.rollouts.settings_files import Setting

SETTINGS = (
    Setting("tie_broken_vote"),
    Setting("confidence_weighted_vote"),
    Setting("majority_vote"),
    Setting("mean_logprob"),
    Setting("deepconf_bottom_window", {"window": 16}),
    Setting("lowest_centroid"),
)


def main() -> None:
    for family in ("red2", "bfcl"):
        print(f"\n{family}, {len(stored(family))} tasks, N = 8")
        for setting in SETTINGS:
            done = fit_probability(stored(family), setting, repeats=10)
            found = done.reliability
            cells = (
                value(found.right),
                both(found.brier),
                value(found.brier_constant),
                both(found.brier_minus_constant, signed=True),
                both(found.ece),
                both(found.ece_constant),
                f"{found.ece_by_chance:.3f}",
            )
            print(f"| {setting.build().name} | {' | '.join(cells)} |", flush=True)
            told = [f"{each.share:.0%} from {each.least:.2f}: {both(each.accuracy)}" for each in points(found)]
            print(f"  answered: {'; '.join(told)}")
            print(f"  ways: {done.votes}", flush=True)


if __name__ == "__main__":
    main()
