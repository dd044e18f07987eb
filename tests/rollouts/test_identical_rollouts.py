"""Why rollouts came out the same: seeds are blamed only where all are equal."""

from __future__ import annotations

import pytest
from fake_openai import Answer, FakeOpenAI
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from ec_agent import IdenticalRolloutsWarning, best_of_n
from ec_agent.rollouts.identical_rollouts import likely_cause


def facts(*seeds, temperatures=(0.8,)):
    """Of each rollout, the seeds of its calls."""
    return [{"temperatures": list(temperatures), "seeds": list(each)} for each in seeds]


@pytest.mark.parametrize(
    ("seeds", "blamed"),
    [
        (([7], [7], [7]), True),
        (([7, 7], [7, 7]), True),
        (([1, 2], [1, 2]), True),
        (([1], [2], [3]), False),
        (([7], [7], [8]), False),
        (([7], []), False),
        (([], []), False),
        (([1, 2], [2, 1]), False),
        (([0], [0]), True),
    ],
)
def test_seeds_are_blamed_only_where_they_are_equal(seeds, blamed):
    cause = likely_cause(facts(*seeds), cached=False)
    assert (cause is not None and "the same seed" in cause) == blamed
    assert blamed or cause is None


@pytest.fixture(scope="module")
def same():
    """A server that always says the same."""
    fake = FakeOpenAI()
    fake.answers["go"] = Answer([0.5, 1.0] * 10)
    yield fake
    fake.close()


@pytest.mark.parametrize(
    ("sampling", "named"),
    [
        (lambda i: {"temperature": 0.8}, None),
        (lambda i: {"temperature": 0.8, "seed": 7}, "the same seed"),
        (lambda i: {"temperature": 0.8, "seed": i}, None),
        (lambda i: {"temperature": 0.8, "seed": i // 2}, None),
        (lambda i: {"temperature": 0, "seed": i}, "the temperature is 0"),
        (lambda i: {"temperature": i / 10, "seed": i}, None),
    ],
    ids=["no seed", "one seed", "a seed each", "one of them differs", "temperature 0", "one temperature is 0"],
)
def test_what_the_receipt_says(run, same, sampling, named):
    model = ChatOpenAI(model="m", base_url=same.url, api_key="none", logprobs=True, top_logprobs=20, max_retries=0)
    node = best_of_n(create_agent(model, []), n=3, sampling=sampling)
    with pytest.warns(IdenticalRolloutsWarning):
        selection = run.run(node, {"messages": "go"}).selection
    (said,) = [note for note in selection.warnings if "repeat an earlier one" in note]
    causes = {cause for cause in ("the same seed", "the temperature is 0") if cause in said}
    assert causes == ({named} if named else set())
