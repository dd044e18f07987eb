"""Parts of a stream that hold all tokens so far, and streams that only look like it."""

from __future__ import annotations

import json

import pytest
from asking import chat, shown
from fake_openai import MODEL, Answer

from ec_agent import best_of_n, record_calls
from ec_agent.capture.shapes.cumulative_parts import added
from ec_agent.capture.transport import http_client
from ec_agent.evaluator import trajectory_of
from ec_agent.logs import found_in, opened
from ec_agent.testing import logprobs_for


def token(text, logprob, *others):
    tops = [{"token": f"{text}{i}", "logprob": each} for i, each in enumerate((logprob, *others))]
    return {"token": text, "logprob": logprob, "top_logprobs": tops}


SO, BE, IT = token("So", -0.3, -1.5), token(" be", -0.1, -3.1), token(" it", -0.7, -0.9)
HA = token("ha", -0.25, -2.0)
SURE = token("1", -0.0, -20.0)

CUMULATIVE = {
    "a token a part": [[SO], [SO, BE], [SO, BE, IT]],
    "two parts": [[SO], [SO, BE]],
    "several tokens a part": [[SO, BE], [SO, BE, IT, HA]],
    "silent parts between": [[], [SO], [], [SO, BE], []],
    "the last one twice": [[SO], [SO, BE], [SO, BE]],
    "begun with a sure token": [[SURE], [SURE, SO], [SURE, SO, SURE]],
    "all of them at the end": [[SO], [BE], [IT], [SO, BE, IT]],
    "all and one more at the end": [[SO], [BE], [SO, BE, IT]],
}
ONCE = {
    "a token a part": [[SO], [BE], [IT]],
    "one that repeats itself": [[HA], [HA], [HA]],
    "one that repeats itself, more and more": [[HA], [HA, HA], [HA, HA, HA]],
    "one that repeats itself, all at the end": [[HA], [HA], [HA, HA]],
    "sure tokens": [[SURE], [SURE, SO]],
    "the same text by chance": [[SO], [token("So", -0.31, -1.5), BE]],
    "the same text and logprob by chance": [[SO], [token("So", -0.3, -1.6), BE]],
    "twice the first": [[SO], [SO], [BE]],
    "one part": [[SO, BE]],
    "none": [],
}


def flat(parts):
    return [entry["token"] for part in parts for entry in part]


@pytest.mark.parametrize("name", CUMULATIVE)
def test_repeated_earlier_tokens_count_once(name):
    parts = CUMULATIVE[name]
    rest = added(parts)
    assert flat(rest) == flat([parts[-1] or parts[-2]])
    assert len(rest) == len(parts)


@pytest.mark.parametrize("name", ONCE)
def test_all_else_stays(name):
    assert added(ONCE[name]) == ONCE[name]


REPEATED = [[HA], [HA, HA], [HA, HA, HA]]


@pytest.mark.parametrize(
    ("texts", "tokens", "left"),
    [
        (["ha", "haha", "hahaha"], None, 6),
        (["ha", "ha", "ha"], None, 3),
        ([], 3, 3),
        ([], 4, 3),
        ([], 6, 6),
        ([], 7, 6),
        ([], 20, 6),
        (["ha", "haha", "hahaha"], 3, 3),
        (["ha", "ha", "ha"], 6, 6),
    ],
)
def test_the_count_tells_what_numbers_do_not(texts, tokens, left):
    """The count of tokens first, then the text."""
    assert sum(map(len, added(REPEATED, lambda: "".join(texts), tokens))) == left


@pytest.mark.parametrize(("tokens", "left"), [(2, 2), (3, 2), (None, 2), (9, 2)])
def test_one_extra_token_after_two_parts_may_be_the_end(tokens, left):
    assert sum(map(len, added([[SO], [SO, BE]], lambda: "So be", tokens))) == left


def test_a_count_that_fits_either_way_tells_nothing():
    """Running totals of usage: their last is the count of all, and their sum that of what came."""
    told = {3: 3, 6: 6}.get
    assert flat(added(CUMULATIVE["a token a part"], tokens=told)) == ["So", " be", " it"]
    assert added(REPEATED, tokens=told) == REPEATED
    assert sum(map(len, added(REPEATED, lambda: "hahaha", told))) == 3


def test_a_resent_text_tells_nothing():
    parts = CUMULATIVE["a token a part"]
    assert flat(added(parts, lambda: "SoSo beSo be it")) == ["So", " be", " it"]


def test_nan_is_like_itself():
    odd = token("So", float("nan"), -0.5)
    assert flat(added([[odd], [odd, BE], [odd, BE, IT]], lambda: "So be it")) == ["So", " be", " it"]


# Through the clients and from logs

ENTROPIES = [0.25, 0.5, 1.5, 0.75]
WORDS = [f"w{place} " for place in range(len(ENTROPIES))]


def stream_of(*, text, usage, ends):
    """Chunks that hold all tokens so far, and with ``text`` all of the text.

    Usage is in the ``"last"`` chunk, in ``"each"`` and the last, or only ``"running"`` along.
    """
    entries = [{**entry, "token": word} for entry, word in zip(logprobs_for(ENTROPIES), WORDS, strict=True)]
    base = {"id": "3", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    chunks = []
    for count in range(1, len(entries) + 1):
        said = "".join(WORDS[:count]) if text else WORDS[count - 1]
        choice = {
            "index": 0,
            "delta": {"content": said},
            "logprobs": {"content": entries[:count]},
            "finish_reason": None,
        }
        chunks.append({**base, "choices": [choice]})
        if usage in ("each", "running"):
            chunks[-1]["usage"] = {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count}
    last = {"index": 0, "delta": {}, "logprobs": {"content": entries} if ends else None, "finish_reason": "stop"}
    chunks.append({**base, "choices": [last]})
    if usage in ("each", "last"):
        count = len(entries)
        chunks.append(
            {**base, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 9}}
        )
    return chunks


STREAMS = {
    "logprobs alone": stream_of(text=False, usage=None, ends=False),
    "text and logprobs": stream_of(text=True, usage=None, ends=False),
    "with usage": stream_of(text=True, usage="last", ends=False),
    "with a running usage": stream_of(text=False, usage="each", ends=False),
    "with a running usage that nothing closes": stream_of(text=False, usage="running", ends=False),
    "text, too, with a running usage that nothing closes": stream_of(text=True, usage="running", ends=False),
    "closed with all": stream_of(text=False, usage="last", ends=True),
}


@pytest.fixture(params=STREAMS)
def chunks(request, fake):
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in STREAMS[request.param]) + "data: [DONE]\n\n"
    fake.answers["hi"] = Answer(raw=("text/event-stream", body.encode()))
    return STREAMS[request.param]


def seen(recorder):
    return [(shown(call.entropies), call.tokens) for call in recorder.trajectory().calls]


@pytest.mark.parametrize("transport", [False, True])
def test_a_client_hears_each_token_once(chunks, client, transport):
    with record_calls() as recorder:
        client = client.with_options(http_client=http_client()) if transport else client
        list(client.chat.completions.create(**chat("hi"), stream=True))
    assert seen(recorder) == [(ENTROPIES, 4)]


async def test_an_asynchronous_client_hears_each_token_once(chunks, aclient):
    with record_calls() as recorder:
        [_ async for _ in await aclient.chat.completions.create(**chat("hi"), stream=True)]
    assert seen(recorder) == [(ENTROPIES, 4)]


@pytest.mark.parametrize("transport", [False, True])
def test_through_langchain(chunks, chat_model, transport):
    model = chat_model(streaming=True, **({"http_client": http_client()} if transport else {}))
    node = best_of_n(lambda state: {"messages": [model.invoke(state["messages"])]}, n=1)
    result = node.run({"messages": [("user", "hi")]})
    assert [(shown(call.entropies), call.tokens) for call in result.trajectories[0].calls] == [(ENTROPIES, 4)]


def test_a_log_has_each_token_once(chunks, tmp_path):
    assert [shown(call.entropies) for call in trajectory_of(chunks).calls] == [ENTROPIES]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(chunk) + "\n" for chunk in chunks))
    with opened(path) as source:
        (found,) = found_in(source, lambda where, what: pytest.fail(what), "responses")
    assert shown(found.trajectory.entropies) == ENTROPIES


def test_parts_of_geminis_have_each_token_once():
    def part(entries, ends):
        tops = [[{"token": c["token"], "logProbability": c["logprob"]} for c in e["top_logprobs"]] for e in entries]
        result = {"chosenCandidates": [row[0] for row in tops], "topCandidates": [{"candidates": row} for row in tops]}
        candidate = {"content": {"parts": [{"text": "x"}]}, "logprobsResult": result}
        return {"responseId": "r", "candidates": [{**candidate, **({"finishReason": "STOP"} if ends else {})}]}

    entries = logprobs_for(ENTROPIES)
    parts = [part(entries[:count], count == 4) for count in range(1, 5)]
    assert [shown(call.entropies) for call in trajectory_of(parts).calls] == [ENTROPIES]


@pytest.mark.parametrize("more", [2, 3, 7])
def test_parts_that_add_none_of_their_own(more):
    """A text in one part, and a call in those after it, which repeat its logprobs: more than are counted."""
    said = [token("It ", -0.5, -2.0), token("is ", -0.25, -3.0), token("so", -0.75, -1.5)]
    parts = [said] * (1 + more)
    assert added(parts, lambda: "It is so{}", 5) == [said, *[[]] * more]
    assert added(parts, lambda: "It is so" * (1 + more), 3 * (1 + more)) == parts
    assert added(parts, lambda: "It is so" * (1 + more)) == parts
