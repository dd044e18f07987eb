"""Several answers in one stream, of which one is cut, or a part of which comes twice or never."""

from __future__ import annotations

import numpy as np
import pytest
from told_streams import ASYNC_WAYS, ENTROPIES, WAYS, answer, async_ways, chunk, tokens, ways

from ec_agent import record_calls
from ec_agent.errors import StreamCutError

OTHERS = [0.2, 1.75, 0.3, 0.9]
SOME, SOME_ASYNC = [way for way in WAYS if "generate" not in way], ASYNC_WAYS


def of(index, parts):
    return [{**part, "choices": [{**choice, "index": index} for choice in part["choices"]]} for part in parts]


def both(first, second):
    """One after the other, as far as both go, and then what is left of one."""
    turns = [part for pair in zip(of(0, first), of(1, second), strict=False) for part in pair]
    shorter = min(len(first), len(second))
    return [*turns, *of(0, first)[shorter:], *of(1, second)[shorter:]]


FIRST, SECOND, END = tokens(), tokens(OTHERS), chunk(finish="stop")
CUT = {
    "the first": both(FIRST[:2], [*SECOND, END]),
    "the second": both([*FIRST, END], SECOND[:2]),
    "both": both(FIRST[:3], SECOND[:3]),
}


@pytest.mark.parametrize("way", SOME)
@pytest.mark.parametrize("name", CUT)
def test_one_that_did_not_end_is_cut(name, way, fake, chat_model):
    fake.answers["hi"] = answer(CUT[name], mark=False)
    with record_calls() as recorder:
        ways(fake, chat_model)[way]()
    with pytest.raises(StreamCutError):
        recorder.trajectory()


@pytest.mark.parametrize("way", SOME_ASYNC)
@pytest.mark.parametrize("name", CUT)
async def test_one_that_did_not_end_is_cut_async(name, way, fake, chat_model):
    fake.answers["hi"] = answer(CUT[name], mark=False)
    with record_calls() as recorder:
        await async_ways(fake, chat_model)[way]()
    with pytest.raises(StreamCutError):
        recorder.trajectory()


def test_a_stream_is_whole_where_both_answers_ended(fake, chat_model):
    fake.answers["hi"] = answer(both([*FIRST, END], [*SECOND, END]), mark=False)
    with record_calls() as recorder:
        ways(fake, chat_model)["client"]()
    np.testing.assert_allclose(recorder.trajectory().entropies, ENTROPIES)
