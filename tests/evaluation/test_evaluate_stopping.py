"""An evaluation of a best_of_n that stops early: its verdict is the winner's, its bill what was started."""

from __future__ import annotations

import pytest
from eval_fakes import rollouts
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import best_of_n
from ec_agent.capture.recorder import current_recorder
from ec_agent.evaluation import RunSettings, evaluate
from ec_agent.evaluation.tasks import BaseTask
from ec_agent.selectors import LowestCentroid, MajorityVote
from ec_agent.stopping import Agreement
from ec_agent.testing import Reply, ScriptedChatModel

SEQUENTIAL = RunSettings(n=1, greedy=False, concurrency=2)
TOKENS = 20


class Sum(BaseTask):
    """Of the first ``agree`` rollouts all give the right answer; the others are surer, and wrong."""

    def __init__(self, agree):
        self.id, self.input, self.agree = f"agree {agree}", {"messages": str(agree)}, agree

    def verdict(self, outcome):
        return outcome.final_action.content == "right"


def agent():
    def script(messages, index):
        at = 19 - index
        right = index < int(messages[0].content)
        return Reply("right" if right else f"wrong {index}", entropies=[2.0 if i == at else 0.1 for i in range(TOKENS)])

    model = ScriptedChatModel(script)

    async def say(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    return StateGraph(MessagesState).add_node("say", say).add_edge(START, "say").compile()


@pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
@pytest.mark.parametrize("selector", [LowestCentroid(), MajorityVote()], ids=["centroid", "vote"])
def test_the_winners_verdict_and_the_bill_of_what_was_started(tmp_path, selector):
    asked = []

    def sampling(index):
        asked.append((current_recorder.get() is not None, index))
        return {"seed": index}

    node = best_of_n(agent(), n=8, selector=selector, stop=Agreement(), sampling=sampling)
    report = evaluate([Sum(8), Sum(4), Sum(1)], node, tmp_path / "runs.db", SEQUENTIAL)
    assert report.finished
    found = {each.key.task: each for each in rollouts(tmp_path / "runs.db")}
    paid = {task: each.usage["generated_tokens"] // TOKENS for task, each in found.items()}
    assert paid == {"agree 8": 4, "agree 4": 4, "agree 1": 8}
    verdicts = {task: each.verdict for task, each in found.items()}
    # Where a wave agrees the surest selector is not asked: with all eight it would have been wrong.
    assert verdicts["agree 8"] == verdicts["agree 4"] == 1.0
    assert len(asked) == 16
    assert all(len(each.trajectory.calls) == 1 for each in found.values())
