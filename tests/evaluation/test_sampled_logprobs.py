"""An endpoint that returns the logprobs of the sampled tokens alone: what can be ranked there is compared there."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import LowestCentroid, best_of_n
from ec_agent.errors import ConfigError
from ec_agent.evaluation.report.content import report_of, selectors_in
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import evaluate
from ec_agent.evaluation.statistics import Resampling
from ec_agent.evaluation.stored_results import load_results
from ec_agent.evaluation.tasks import BaseTask
from ec_agent.evaluation.tuning import tune
from ec_agent.rollouts.settings_files import Setting
from ec_agent.selectors import MeanEntropy, MeanLogprob
from ec_agent.testing import Reply, ScriptedChatModel

FAST = Resampling(resamples=199)
TASKS = 5


class Yes(BaseTask):
    def verdict(self, outcome):
        return outcome.final_action.text == "yes"


def sampled(text, logprob):
    token = {"token": "t", "logprob": logprob, "bytes": None, "top_logprobs": []}
    return Reply(text, logprobs={"content": [token] * 6})


def agent():
    """Every second answer is right, and surer than the wrong ones."""
    replies = iter(range(1000))
    model = ScriptedChatModel(lambda messages, index: sampled(*[("no", -1.0), ("yes", -0.1)][next(replies) % 2]))
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_edge(START, "ask")
    return builder.compile()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("sampled") / "run.db"
    settings = RunSettings(n=4, greedy=False, concurrency=1)
    evaluate([Yes(f"task {place}", "yes?") for place in range(TASKS)], agent(), path, settings)
    return path


def test_best_of_n_and_the_report_rank_by_the_same_logprobs(run):
    question = {"messages": [("user", "yes?")]}
    assert best_of_n(agent(), n=4, selector=MeanLogprob()).run(question).output["messages"][-1].text == "yes"
    named = selectors_in("mean_logprob,lowest_centroid:signal=surprisal,mean_entropy")
    report = report_of(run, selectors=named, resampling=FAST)
    by_logprob, by_surprisal, by_entropy = report.summary.selectors
    assert (by_logprob.accuracy.value, by_logprob.fell_back) == (1.0, 0)
    assert by_surprisal.fell_back == 0
    assert (by_entropy.accuracy.value, by_entropy.fell_back) == (0.5, TASKS)


def test_calibration_reads_what_the_selector_reads(run):
    tuning = tune(load_results(run), [Setting("mean_entropy"), Setting("mean_logprob")], resampling=FAST)
    assert (tuning.chosen, tuning.naive_difference) == (Setting("mean_logprob"), 0.5)


def test_a_result_as_a_selector_meets_it(run):
    result = load_results(run)[0]
    assert {each.unscored for each in result.candidates} == {"coverage"}
    assert {each.unscored for each in result.read_by(MeanLogprob()).candidates} == {None}
    assert {each.unscored for each in result.read_by(LowestCentroid("surprisal")).candidates} == {None}
    assert {each.unscored for each in result.read_by(MeanEntropy()).candidates} == {"coverage"}
    assert isinstance(result.candidates[0].final_action, AIMessage)


def test_a_signal_that_was_not_kept_is_told(run):
    class Odd:
        name, signals = "odd", ("nowhere",)

        def select(self, candidates):
            raise AssertionError("it is not asked")

    with pytest.raises(ConfigError, match="nowhere"):
        load_results(run)[0].read_by(Odd())
