"""Saved streams that tell their usage or their end more than once, or never their reason to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fake_openai import MODEL
from told_streams import COUNT, ENTROPIES, chunk, last, tokens, usage

from ec_agent.logs import found_in, opened

CACHED = {"prompt_tokens_details": {"cached_tokens": 4}}
BODY = tokens()
FINAL = {**BODY[-1], "choices": [{**BODY[-1]["choices"][0], "finish_reason": "stop"}], "usage": usage(**CACHED)}
STREAMS = {
    "closing chunk twice": [*BODY, *[chunk(finish="stop", usage=usage(**CACHED))] * 2],
    "finish, then usage alone": [*BODY, chunk(finish="stop", usage=usage()), last(usage=usage(**CACHED))],
    "last token twice": [*BODY[:-1], FINAL, FINAL],
    "last token twice, usage once": [*BODY[:-1], {**FINAL, "usage": None}, FINAL],
    "running totals": [
        *({**part, "usage": usage(place + 1)} for place, part in enumerate(BODY)),
        chunk(finish="stop", usage=usage(**CACHED)),
    ],
    "no reason": [*BODY, last(usage=usage(**CACHED))],
    "reason in the usage chunk": [*BODY, {**last(usage=usage(**CACHED)), "finish_reason": "stop"}],
}
FORMS = {
    "lines": lambda chunks: "".join(f"{json.dumps(each)}\n" for each in chunks),
    "array": json.dumps,
    "events": lambda chunks: "".join(f"data: {json.dumps(each)}\n\n" for each in chunks) + "data: [DONE]\n\n",
}


def calls_in(path):
    with opened(path) as source:
        return [found.trajectory.calls for found in found_in(source, pytest.fail, "responses")]


def check(calls):
    (call,) = calls
    assert (call.tokens, call.prompt_tokens, call.cached_tokens, call.model) == (COUNT, 9, 4, MODEL)
    np.testing.assert_allclose(call.entropies, ENTROPIES)
    assert not call.partial


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", STREAMS)
def test_a_saved_stream_with_repeated_parts_is_one_answer(name, form, tmp_path):
    (tmp_path / "log").write_text(FORMS[form](STREAMS[name]))
    (calls,) = calls_in(tmp_path / "log")
    check(calls)


@pytest.mark.parametrize("named", [True, False], ids=["by id", "one id for all"])
@pytest.mark.parametrize("name", STREAMS)
def test_several_answers_in_a_file(name, named, tmp_path):
    chunks = [{**each, "id": f"a{n}" if named else "c"} for n in range(3) for each in STREAMS[name]]
    (tmp_path / "log").write_text(FORMS["lines"](chunks))
    found = calls_in(tmp_path / "log")
    assert len(found) == 3
    for calls in found:
        check(calls)


def test_a_cut_stream_is_partial(tmp_path):
    for cut in (BODY[:3], [*BODY[:3], last(usage=usage())]):
        (tmp_path / "log").write_text(FORMS["lines"](cut))
        ((call,),) = calls_in(tmp_path / "log")
        assert call.partial
        assert np.count_nonzero(~np.isnan(call.entropies)) == 3
