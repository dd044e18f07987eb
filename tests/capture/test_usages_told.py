"""Several usages in one stream, brought to one: which of them is the total, and when they are increments."""

from __future__ import annotations

import pytest
from openai.types import CompletionUsage

from ec_agent.capture.shapes.usage import Usages, usage_in, with_thinking

SPOKEN, SILENT = True, False


def heard(*parts):
    """The usages of a stream whose parts each told a count of generated tokens, or a whole usage."""
    usages = Usages()
    for told, speaks in parts:
        usages.add({"completion_tokens": told} if isinstance(told, int) else told, speaks)
    return usages


def asked(generated, prompt=9, **details):
    return {"completion_tokens": generated, "prompt_tokens": prompt, **details}


@pytest.mark.parametrize(
    ("counts", "entries", "expected"),
    [
        pytest.param([(4, SPOKEN), (2, SPOKEN)], 6, 6, id="two increments that add up to what came"),
        pytest.param([(4, SPOKEN), (3, SPOKEN)], 6, 7, id="two increments, of which the last counts an end token"),
        pytest.param([(2, SPOKEN), (1, SPOKEN), (2, SPOKEN), (1, SPOKEN), (1, SPOKEN)], 0, 7, id="small increments"),
        pytest.param([(4, SPOKEN), (4, SPOKEN), (4, SPOKEN)], 0, 4, id="the whole count in each of three parts"),
        pytest.param([(5, SILENT), (1, SILENT)], 5, 5, id="the largest fits, and so would the sum"),
        pytest.param([(2, SPOKEN), (4, SPOKEN), (6, SPOKEN), (1, SILENT)], 6, 6, id="running, then a small one"),
        pytest.param([(6, SILENT), (12, SILENT)], 6, 6, id="twice the count in a second closing part"),
        pytest.param([(7, SILENT), (14, SILENT)], 6, 7, id="the same, with an end token"),
    ],
)
def test_one_of_several_usages_is_chosen(counts, entries, expected):
    assert heard(*counts).total(entries)["completion_tokens"] == expected


def test_the_closing_one_is_believed_over_a_larger_one():
    told = heard((asked(6), SPOKEN), (asked(5), SILENT))
    assert told.total(0)["completion_tokens"] == 5


@pytest.mark.parametrize(
    ("counts", "entries", "expected"),
    [
        pytest.param([(6, SILENT), (6, SILENT)], 0, 6, id="the closing part twice"),
        pytest.param([(1, SPOKEN), (2, SPOKEN), (3, SPOKEN), (4, SPOKEN)], 0, 4, id="four that grow are totals"),
        pytest.param([(2, SPOKEN), (3, SPOKEN), (5, SPOKEN)], 0, 10, id="three may grow by chance"),
        pytest.param([(6, SPOKEN), (2, SILENT)], 6, 6, id="the largest is what came"),
    ],
)
def test_evidence_against_adding_usages_up(counts, entries, expected):
    """Where they are increments unless something speaks against it, as in LangChain's messages."""
    assert heard(*counts).total(entries, adds_up=True)["completion_tokens"] == expected


def test_a_prompt_told_in_two_increments_is_added_up():
    told = heard((asked(0, 9), SILENT), (asked(6, 3), SPOKEN))
    assert told.total(0, adds_up=True) == asked(6, 12)
    assert told.total(0) == asked(6, 3)


def test_details_are_those_of_the_latest_that_has_any():
    early, late = ({"prompt_tokens_details": {"cached_tokens": cached}} for cached in (2, 4))
    told = heard((asked(6, **early), SILENT), (asked(6, **late), SILENT), (asked(6), SILENT))
    assert told.total(6) == asked(6, **late)


def test_counts_under_unknown_names_are_kept():
    """OpenAI's client holds them apart from its own fields."""
    usage = CompletionUsage.construct(input_tokens=9, output_tokens=6)
    total = heard((usage, SILENT), (usage, SILENT)).total(6)
    assert (total["input_tokens"], total["output_tokens"]) == (9, 6)


@pytest.mark.parametrize(
    "part",
    [
        {"usage": asked(6), "choices": []},
        {"choices": [{"index": 0}, {"index": 1, "usage": asked(6)}]},
        {"usage": None, "choices": [], "x_groq": {"id": "r", "usage": asked(6)}},
    ],
    ids=["OpenAI", "Moonshot", "Groq"],
)
def test_where_a_part_has_its_usage(part):
    assert usage_in(part) == asked(6)


@pytest.mark.parametrize("details", ["completion_tokens_details", "output_tokens_details"])
@pytest.mark.parametrize(("total", "expected"), [(17, 8), (15, 6), (16, 6), (None, 6)])
def test_thinking_is_added_only_if_the_total_requires_it(total, expected, details):
    usage = {details: {"reasoning_tokens": 2}, "total_tokens": total}
    assert with_thinking(usage, 6, 9) == expected
