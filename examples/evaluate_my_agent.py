"""Use 5: does picking by centroid help your agent? In the clone: .venv/bin/python -m examples.evaluate_my_agent

Three tasks that say themselves whether they were done, an agent, and a file with every rollout. From the shell, with
progress, a greedy baseline and a summary: ec-agent eval examples.evaluate_my_agent:tasks --agent graphs.agent:agent
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from ec_agent import LowestCentroid
from ec_agent.evaluation import BaseTask, Outcome, RunSettings, evaluate, load_results
from graphs.agent import agent


class Parcel(BaseTask):
    def __init__(self, parcel: str, pounds: float) -> None:
        super().__init__(id=parcel, input=f"Parcel: {parcel}")
        self.pounds = pounds

    def verdict(self, outcome: Outcome) -> bool:
        """Whether the last number it says is the weight."""
        numbers = re.findall(r"\d+\.\d+", outcome.final_action.text)
        return bool(numbers) and abs(float(numbers[-1]) - self.pounds) < 0.01


tasks = [Parcel("3 mugs", 2.31), Parcel("2 lamps", 5.29), Parcel("3 mugs + 2 lamps", 7.61)]


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, "parcels.db")  # in a place that stays, the next run would go on from it
        report = evaluate(tasks, agent, path, RunSettings(n=2, concurrency=2, greedy=False))
        results = load_results(path)
    for result in results:
        centroids = [candidate.trajectory.centroid() for candidate in result.candidates]
        print(f"{result.task}: verdicts {result.correct.tolist()}, centroids {centroids}")
    picks = [(result, LowestCentroid().select(result.candidates).order[:1]) for result in results]
    chosen = sum(result.correct[list(order)].sum() for result, order in picks) / len(results)
    print(f"Pass@1 {sum(result.correct.mean() for result in results) / len(results):.3f}")
    print(f"lowest centroid {chosen:.3f}")
    print(f"failed: {len(report.failures)} of {report.stored} rollouts")


if __name__ == "__main__":
    main()
