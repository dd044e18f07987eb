"""Valid arguments of what works on numbers, and of the selectors."""

from __future__ import annotations

from dataclasses import replace

import pyarrow
from fuzz_cases import Case

from ec_agent import Agreement, Call, CallInfo, Candidate, LowestCentroid, OnlineTrajectory, Trajectory, selectors
from ec_agent.evaluation import TaskResult
from ec_agent.evaluation.statistics import Resampling
from ec_agent.judges import Pairwise, PTrue
from ec_agent.probability import Basis, Evidence, Feature, FittedProbability
from ec_agent.testing import Reply, ScriptedChatModel

VALUES = [2.0, 0.1, 0.2, 1.5, 0.0]


AS_HEARD = frozenset(("unplaced", "beside", "model", "node", "started", "ended", "prompt_tokens", "cached_tokens"))
"""What a server said: shown, and not calculated with."""


def trajectory(*_):
    names = ("logprob", "surprisal", "confidence", "self_certainty")
    return Trajectory(
        [Call(VALUES, signals=dict.fromkeys(names, VALUES)), Call(VALUES, signals=dict.fromkeys(names, VALUES))]
    )


def candidates(*_):
    return [Candidate(index, trajectory(), f"answer {index % 2}") for index in range(3)]


def results(*_):
    return [TaskResult(f"t{i}", tuple(candidates()), [1.0, 0.0, i % 2]) for i in range(6)]


def fitted(*_):
    return FittedProbability("platt", (Feature("agreement", 0.1, 1.0, 2.0),), Basis("majority_vote", 8, 40, 0.5))


SHOWN = Evidence(0.5, 0.1, 0.5, None, 3.0, 8)


def selecting(make):
    return Case(lambda _: {"candidates": candidates()}, on=lambda _: make())


def made(select=True):
    return Case(use=(lambda selector: selector.select(candidates())) if select else lambda _: None)


def judge(*_):
    """A model that finds everything right, and equally good."""
    top = [{"token": "True", "logprob": -0.3}, {"token": "3", "logprob": -2.0}]
    return ScriptedChatModel([[Reply("True", logprobs={"content": [{**top[0], "top_logprobs": top}]}, tokens=1)]])


def judged(*_):
    return [Candidate(index, trajectory(), f"answer {index % 2}", question="which?") for index in range(3)]


def judging(kind):
    place = f"ec_agent.judges.{kind.__name__}"
    shown = Case(lambda _: {"candidates": judged()}, on=lambda _: kind(judge()))
    return {
        place: Case(
            lambda _: {"model": judge()},
            use=lambda selector: selector.select(judged()),
            functions=frozenset(("question", "answer")),
        ),
        f"{place}.select": shown,
        f"{place}.aselect": replace(shown, twin=True),
        f"{place}.most_calls": Case(lambda _: {"n": 8}, on=lambda _: kind(judge())),
    }


def normalizing(make):
    return Case(lambda _: {"action": "1"}, on=lambda _: make(), anything=frozenset(("action",)))


NORMALIZING = ("NumberAnswer", "JsonAnswer", "TextAnswer", "CallAnswer")

NUMBERS = {
    "ec_agent.token_entropy": Case(lambda _: {"logprobs": [[-0.1, -2.0], [-0.5, -0.9]]}),
    "ec_agent.entropy_centroid": Case(lambda _: {"entropies": VALUES}),
    "ec_agent.high_entropy_phases": Case(lambda _: {"entropies": VALUES}),
    "ec_agent.score_many": Case(lambda _: {"entropies": [VALUES, VALUES]}, only=("entropies", "configs")),
    "ec_agent.score_many lengths": Case(
        lambda _: {"entropies": VALUES, "lengths": [2, 3]}, only=("lengths",), told={"lengths": "lengths|entropies"}
    ),
    "ec_agent.bulk.score_lists": Case(lambda _: {"lists": pyarrow.array([VALUES, VALUES])}),
    "ec_agent.HEPConfig": Case(use=lambda config: trajectory().centroid(config)),
    "ec_agent.OnlineTrajectory": Case(use=lambda online: (online.append(VALUES), online.centroid())),
    "ec_agent.OnlineTrajectory.append": Case(lambda _: {"entropies": VALUES}, on=lambda _: OnlineTrajectory()),
    "ec_agent.Call": Case(
        lambda _: {"entropies": VALUES}, use=lambda call: Trajectory([call]).centroid(), anything=AS_HEARD
    ),
    "ec_agent.Call.signal": Case(lambda _: {"name": "entropy"}, on=lambda _: Call(VALUES), told={"name": "signal"}),
    "ec_agent.Trajectory": Case(lambda _: {"calls": [Call(VALUES)]}, use=lambda found: (len(found), found.centroid())),
    "ec_agent.Trajectory.from_entropies": Case(told={"calls": "entropies"}),
    "ec_agent.Trajectory.centroid": Case(on=trajectory),
    "ec_agent.Trajectory.phases": Case(on=trajectory),
    "ec_agent.Trajectory.count": Case(lambda _: {"signal": "entropy"}, on=trajectory),
    "ec_agent.Trajectory.share": Case(lambda _: {"signal": "entropy"}, on=trajectory),
    "ec_agent.Trajectory.signal": Case(lambda _: {"name": "entropy"}, on=trajectory, told={"name": "signal"}),
    "ec_agent.reward": Case(lambda _: {"trajectory": trajectory()}),
    "ec_agent.trajectory_of": Case(lambda _: {"source": trajectory()}, told={"source": ""}),
    "ec_agent.CentroidEvaluator": Case(use=lambda evaluator: evaluator(outputs=trajectory())),
    "ec_agent.CentroidEvaluator.__call__": Case(
        lambda _: {"outputs": trajectory()},
        on=lambda _: selectors_free_evaluator(),
        only=("outputs", "inputs", "reference_outputs"),
        told={"outputs": ""},
    ),
    "ec_agent.CallFilter": Case(use=lambda accepts: accepts(CallInfo(node="a", path=("a",), metadata={"k": 1}))),
    "ec_agent.Agreement": Case(use=lambda plan: plan.enough(candidates(), 0, 8), functions=frozenset(("normalize",))),
    "ec_agent.More": Case(),
    "ec_agent.OutOfReach": Case(use=lambda plan: plan.enough(candidates(), 0, 8), functions=frozenset(("normalize",))),
    "ec_agent.stopping.Beta": Case(
        use=lambda plan: plan.enough(candidates(), 0, 8), functions=frozenset(("normalize",))
    ),
    "ec_agent.stopping.ScoreThreshold": Case(
        lambda _: {"threshold": -0.5}, use=lambda plan: plan.enough(candidates(), 0, 8)
    ),
    "ec_agent.stopping.plan_named": Case(lambda _: {"name": "beta"}, told={"name": "stopping plan"}),
    "ec_agent.stopping.replay": Case(
        lambda _: {"candidates": candidates(), "plan": Agreement([2]), "selector": LowestCentroid()}
    ),
    "ec_agent.Stop": Case(lambda _: {"reason": "seen"}),
    "ec_agent.probability.Feature": Case(
        lambda _: {"name": "score", "low": 0.0, "high": 1.0}, told={"name": "name of a feature"}
    ),
    "ec_agent.probability.Basis": Case(lambda _: {"selector": "majority_vote", "n": 8, "tasks": 40, "right": 0.5}),
    "ec_agent.probability.FittedProbability": Case(
        lambda _: {"form": "platt", "features": fitted().features, "basis": fitted().basis},
        use=lambda made: made.probability(SHOWN),
        told={"intercept": "intercept", "form": "form|knots"},
    ),
    "ec_agent.probability.FittedProbability.probability": Case(lambda _: {"evidence": SHOWN}, on=lambda _: fitted()),
    "ec_agent.probability.FittedProbability.from_dict": Case(
        lambda _: {"plain": fitted().to_dict()}, on=lambda _: fitted(), told={"plain": "probability"}
    ),
    "ec_agent.HandOver": Case(lambda _: {"below": 0.8, "to": "person"}, use=lambda route: route(candidates()[0])),
    "ec_agent.selectors.final_answer": Case(lambda _: {"action": "x"}),
    **{f"ec_agent.selectors.{name}": Case(use=lambda ready: (ready("1"), ready({"a": 1}))) for name in NORMALIZING},
    **{f"ec_agent.selectors.{name}.__call__": normalizing(getattr(selectors, name)) for name in NORMALIZING},
    "ec_agent.selectors.normalizer_named": Case(lambda _: {"name": "number"}, told={"name": "normalize"}),
    "ec_agent.selectors.selector_named": Case(lambda _: {"name": "deepconf_tail"}, told={"name": "selector"}),
    "ec_agent.selectors.tally": Case(
        lambda _: {"ballots": {0: selectors.Ballot("a", 1.0), 1: selectors.Ballot("b", 2.0)}}
    ),
    "ec_agent.selectors.validity": Case(lambda _: {"candidates": candidates()}),
    "ec_agent.evaluation.TaskResult": Case(
        lambda _: {"task": "t", "candidates": tuple(candidates()), "correct": [1.0, 0.0, 1.0]},
        use=lambda result: result.read_by(LowestCentroid()),
        told={"correct": "verdicts"},
    ),
    "ec_agent.evaluation.TaskResult.with_config": Case(
        lambda _: {"config": results()[0].candidates[0].config}, on=lambda _: results()[0]
    ),
    "ec_agent.evaluation.TaskResult.read_by": Case(lambda _: {"selector": LowestCentroid()}, on=lambda _: results()[0]),
    "ec_agent.evaluation.statistics.Resampling": Case(),
    "ec_agent.evaluation.statistics.summarise": Case(
        lambda _: {
            "results": results(),
            "selectors": {"lowest_centroid": LowestCentroid()},
            "resampling": Resampling(100),
            "panel": {},
        }
    ),
    "ec_agent.evaluation.statistics.plan_comparison.compare_plans": Case(
        lambda _: {
            "results": results(),
            "plans": [None, Agreement([2])],
            "selector": LowestCentroid(),
            "resampling": Resampling(100),
        }
    ),
    "ec_agent.evaluation.tuning.default_grid": Case(told={"names": "selector"}),
    "ec_agent.evaluation.tuning.tune": Case(
        lambda _: {
            "results": results(),
            "grid": [selectors_setting()],
            "folds": 2,
            "repeats": 1,
            "resampling": Resampling(100),
        }
    ),
    "ec_agent.evaluation.tuning_stops.tune_stop": Case(
        lambda _: {
            "results": results(),
            "setting": selectors_setting(),
            "plans": [Agreement([1, 1])],
            "folds": 2,
            "repeats": 1,
            "resampling": Resampling(100),
        }
    ),
    "ec_agent.stopping.spelling.plan_in": Case(
        lambda _: {"spelled": "agreement:2,2"}, told={"spelled": "stopping plan"}
    ),
    "ec_agent.rollouts.settings_files.Setting": Case(
        use=lambda setting: setting.build(), told={"arguments": "lowest_centroid|arguments"}
    ),
}


def selectors_free_evaluator():
    from ec_agent import CentroidEvaluator

    return CentroidEvaluator()


def selectors_setting():
    from ec_agent.rollouts.settings_files import Setting

    return Setting()


SELECTING = {
    f"ec_agent.{home}{name}.select": selecting(getattr(selectors, name))
    for home, names in (
        ("", ("LowestCentroid",)),
        (
            "selectors.",
            (
                *(
                    "CentroidWeightedVote",
                    "ConfidenceGradient",
                    "ConfidenceWeightedVote",
                    "DeepConfBottomWindow",
                    "DeepConfLowestGroup",
                    "DeepConfMean",
                    "DeepConfTail",
                ),
                *("FewestCalls", "Longest", "MajorityVote", "MeanEntropy", "MeanLogprob", "MostCalls", "RawCentroid"),
                *("SelfCertainty", "Shortest", "TailEntropy", "TieBrokenVote"),
            ),
        ),
    )
    for name in names
} | {
    f"ec_agent.{name}": made()
    for name in (
        *("LowestCentroid", "selectors.CentroidWeightedVote", "selectors.DeepConfBottomWindow"),
        *("selectors.DeepConfLowestGroup", "selectors.DeepConfTail", "selectors.MajorityVote"),
        *("selectors.ConfidenceGradient", "selectors.ConfidenceWeightedVote", "selectors.TailEntropy"),
        "selectors.TieBrokenVote",
    )
}

SELECTING |= {**judging(PTrue), **judging(Pairwise)}
