"""The tables of whole runs print what the rollouts say, also of files whose run is not finished."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from langchain.agents import create_agent
from print_runs import STATEMENTS, pages, results_of, statements, verdict
from stored_families import ALL

from ec_agent.evaluation import BaseTask, RunSettings, evaluate
from ec_agent.evaluation.statistics import Resampling
from ec_agent.testing import Reply, ScriptedChatModel

N = 3
FEW = Resampling(resamples=100)


class Guess(BaseTask):
    """Its verdict is a share: 1 for the right answer, .01 for another number, as some scorers have it."""

    def verdict(self, outcome):
        return 1.0 if outcome.final_action.text == "4" else 0.01


def scripted():
    """A model whose replies differ from call to call, and are right in two of three cases."""
    calls = itertools.count()

    def script(messages, index):
        call = next(calls)
        answer = "5" if call * call % 7 in (1, 2) else "4"
        return Reply(answer, entropies=[0.05 + 0.1 * ((3 * place + call * call) % 7) for place in range(24)])

    return ScriptedChatModel(script)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two families in three files, of which one has a shard alone, and a file whose run has just begun."""
    folder = tmp_path_factory.mktemp("runs") / "made"
    folder.mkdir()
    agent = create_agent(scripted(), tools=[])
    tasks = {family: [Guess(f"{family}-{i}", f"What is 2 + 2, {i}") for i in range(6)] for family in ("aaa", "bbb")}
    for family, name, shard in (("aaa", "aaa-1", "1/2"), ("aaa", "aaa-2", "2/2"), ("bbb", "bbb-1", "1/2")):
        evaluate(tasks[family], agent, folder / f"{name}.db", RunSettings(n=N, shard=shard, concurrency=1))
    (folder / "ccc-1.db").touch()
    return folder


@pytest.fixture(scope="module")
def said(folder):
    return list(pages([folder], FEW))


def test_every_whole_task_counts_once_and_a_share_of_a_mark_is_wrong(folder):
    results = results_of(folder, "aaa")
    assert [result.task for result in results] == [f"aaa-{i}" for i in range(6)]
    assert {value for result in results for value in result.correct} == {0.0, 1.0}
    assert len(results_of(folder, "bbb")) == 3
    assert results_of(folder, "ccc") == []


def test_a_family_has_a_row_for_every_selector(said):
    aaa, bbb = (next(text for text in said if text.startswith(f"**{family}**")) for family in ("aaa", "bbb"))
    assert aaa.startswith(
        "**aaa**: 6 tasks, N = 3; 24 tokens a rollout (5 to 95 %: 24 to 24), 0 of 18 rollouts failed."
    )
    assert bbb.startswith("**bbb**: 3 tasks")
    rows = re.findall(r"^\| (\S.*?) \| [-+]", aaa, flags=re.MULTILINE)
    assert rows[: len(ALL)] == list(ALL)
    assert rows[len(ALL) :] == ["shortest", "longest", "fewest_calls", "most_calls"]
    assert "**ccc**: 0 whole tasks, too few for a table." in said


def test_the_statements_are_differences_over_all_tasks(folder, said):
    results = [*results_of(folder, "aaa"), *results_of(folder, "bbb")]
    table = next(text for text in said if text.startswith("| | better"))
    assert table.count("\n") == 1 + len(STATEMENTS)
    voted = [
        np.mean([ALL["majority_vote"].select(r.candidates).order[0] in np.flatnonzero(r.correct)]) for r in results
    ]
    pass_1 = [result.correct.mean() for result in results]
    row = next(line for line in table.splitlines() if line.startswith("| 6 | majority_vote | Pass@1 |"))
    assert f"{np.mean(voted) - np.mean(pass_1):+.3f}" in row


def test_without_greedy_rollouts_nothing_is_said_of_them():
    names = {name for each in STATEMENTS for name in (each.better, each.than)}
    rows = {name: np.linspace(0.0, 1.0, 5) for name in names} | {"greedy": np.full(5, np.nan)}
    last = statements({"aaa": rows, "bbb": rows}, FEW).splitlines()[-1]
    assert last == "| 8 | greedy | majority_vote | - | 1.000 | not confirmed | - | - |"


@pytest.mark.parametrize(
    ("difference", "p", "means"),
    [
        (0.1, 0.01, "confirmed"),
        (-0.1, 0.01, "contradicted"),
        (0.1, 0.05, "not confirmed"),
        (-0.1, 0.4, "not confirmed"),
    ],
)
def test_what_a_statement_comes_to(difference, p, means):
    assert verdict(difference, p) == means


def test_the_centroids_of_two_runs_stand_beside_each_other(folder):
    *_, last = pages([folder, folder], FEW)
    assert [line.split(" | ")[:3] for line in last.splitlines()[2:]] == [
        ["| aaa", "made", "6"],
        ["| bbb", "made", "3"],
    ]
