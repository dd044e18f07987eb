"""Saved parts of streamed answers are one answer each, and the alternatives in an answer are rollouts."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from langchain_core.load import dumpd
from langchain_core.messages import AIMessageChunk

from ec_agent import LogprobsError, Trajectory, trajectory_of
from ec_agent.logs import found_in, opened, responses
from ec_agent.logs.bounds import Bounds
from ec_agent.testing import logprobs_for

EARLY, LATE = [2.0, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 2.0]
COUNTED = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def told(path, **more):
    troubles = []
    with opened(path, **more) as source:
        return list(found_in(source, lambda where, what: troubles.append(f"{where} {what}"), "responses")), troubles


def chat(name, entropies, index=0, usage=True):
    base = {"id": name, "object": "chat.completion.chunk", "model": "m"}
    chunks = [
        {**base, "choices": [{"index": index, "delta": {"content": "x"}, "logprobs": {"content": [token]}}]}
        for token in logprobs_for(entropies)
    ]
    chunks += [{**base, "choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}]
    return chunks + [{**base, "choices": [], "usage": COUNTED}] * usage


def legacy(name, entropies):
    base = {"id": name, "object": "text_completion", "model": "m"}
    parts = []
    for token in logprobs_for(entropies):
        top = {f"{each['token']}{place}": each["logprob"] for place, each in enumerate(token["top_logprobs"])}
        logprobs = {"tokens": ["x"], "token_logprobs": [token["logprob"]], "top_logprobs": [top]}
        parts.append({**base, "choices": [{"index": 0, "text": "x", "logprobs": logprobs, "finish_reason": None}]})
    parts[-1]["choices"][0]["finish_reason"] = "length"
    return [*parts, {**base, "choices": [], "usage": COUNTED}]


def result(entropies):
    rows = [
        [{"token": f"{n}", "tokenId": n, "logProbability": each["logprob"]} for n, each in enumerate(t["top_logprobs"])]
        for t in logprobs_for(entropies)
    ]
    return {"topCandidates": [{"candidates": row} for row in rows], "chosenCandidates": [row[0] for row in rows]}


def gemini(name, entropies, index=0):
    parts = []
    for place, entropy in enumerate(entropies, start=1):
        candidate = {"index": index, "content": {"parts": [{"text": "x"}]}, "logprobsResult": result([entropy])}
        usage = {"promptTokenCount": 3, "candidatesTokenCount": place}  # a running total
        named = {"responseId": name} if name else {}
        parts.append({"candidates": [candidate], "modelVersion": "g", "usageMetadata": usage, **named})
    parts[-1]["candidates"][0]["finishReason"] = "STOP"
    return parts


def ollama(name, entropies):
    said = {"model": "m", "message": {"role": "assistant", "content": "x"}}
    parts = [{**said, "done": False, "logprobs": [token]} for token in logprobs_for(entropies)]
    return [*parts, {**said, "done": True, "eval_count": 4, "prompt_eval_count": 3}]


def llama(name, entropies):
    parts = [
        {"content": "x", "stop": False, "completion_probabilities": [token], "tokens_predicted": place}
        for place, token in enumerate(logprobs_for(entropies), start=1)
    ]
    return [*parts, {"content": "", "stop": True, "tokens_predicted": 4, "tokens_evaluated": 3}]


def events(name, entropies):
    parts = [
        {"type": "response.output_text.delta", "output_index": 0, "delta": "x", "logprobs": [token]}
        for token in logprobs_for(entropies)
    ]
    usage = {"input_tokens": 3, "output_tokens": 4}
    last = {"type": "response.completed", "response": {"id": name, "model": "m", "output": [], "usage": usage}}
    return [{"type": "response.created", "response": {"id": name}}, *parts, last]


def messages(name, entropies):
    chunks = [
        AIMessageChunk("x", id=f"run-{name}", response_metadata={"logprobs": {"content": [token]}})
        for token in logprobs_for(entropies)
    ]
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    return [*map(dumpd, chunks), AIMessageChunk("", id=f"run-{name}", usage_metadata=usage).model_dump()]


STREAMS = {
    "chat": chat,
    "legacy": legacy,
    "gemini": gemini,
    "gemini without ids": lambda name, entropies: gemini(None, entropies),
    "ollama": ollama,
    "llama.cpp": llama,
    "responses": events,
    "messages": messages,
}
FORMS = {
    "lines": lambda parts: "\n".join(map(json.dumps, parts)),
    "an array": json.dumps,
    "indented": lambda parts: json.dumps(parts, indent=2),
    "a line of each": lambda parts: json.dumps(parts) + "\n" + json.dumps({"entropies": [1.0]}),
    "an event stream": lambda parts: "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + "data: [DONE]\n\n",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", STREAMS)
def test_the_parts_of_an_answer_are_one_answer(tmp_path, kind, form):
    (tmp_path / "log").write_text(FORMS[form](STREAMS[kind]("a", EARLY)))
    found, troubles = told(tmp_path / "log")
    assert troubles == []
    (call,) = found[0].trajectory.calls
    np.testing.assert_allclose(call.entropies, EARLY)
    assert (call.tokens, call.prompt_tokens, call.partial) == (4, 3, False)
    assert len(found) == (2 if form == "a line of each" else 1)


@pytest.mark.parametrize("kind", STREAMS)
def test_several_streams_in_a_file(tmp_path, kind):
    parts = [*STREAMS[kind]("a", LATE), *STREAMS[kind]("b", EARLY), *STREAMS[kind]("c", LATE)]
    (tmp_path / "log").write_text(FORMS["lines"](parts))
    found, troubles = told(tmp_path / "log")
    assert troubles == []
    for each, entropies in zip(found, [LATE, EARLY, LATE], strict=True):
        np.testing.assert_allclose(each.trajectory.entropies, entropies)
    assert len(trajectory_of(parts).calls) == 3


@pytest.mark.parametrize("kind", ["chat", "legacy", "gemini", "messages"])
def test_parts_with_names_may_come_in_any_company(tmp_path, kind):
    """Several at once, as a server's log has them; and other records in between."""
    streams = {name: STREAMS[kind](name, entropies) for name, entropies in (("a", EARLY), ("b", LATE), ("c", EARLY))}
    chance, mixed = random.Random(1), []
    while any(streams.values()):
        mixed.append(streams[chance.choice([name for name, parts in streams.items() if parts])].pop(0))
    mixed.insert(3, {"id": "other", "entropies": [1.0, 2.0]})
    (tmp_path / "log").write_text(FORMS["lines"](mixed))
    found, troubles = told(tmp_path / "log")
    by_name = {each.name.removeprefix("run-"): list(each.trajectory.entropies.round(9)) for each in found}
    assert troubles == []
    assert by_name == {"a": EARLY, "b": LATE, "c": EARLY, "other": [1.0, 2.0]}


def test_a_stream_of_alternatives(tmp_path):
    chunks = [part for pair in zip(chat("a", EARLY, 0), chat("a", LATE, 1), strict=True) for part in pair]
    chunks[-2:] = [chunks[-1]]  # the usage of both comes once
    (tmp_path / "chunks.jsonl").write_text(FORMS["lines"](chunks))
    parts = [{**one, "candidates": one["candidates"] + two["candidates"]} for one, two in both_of_gemini()]
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    for name in ("chunks.jsonl", "parts.json"):
        (first, second), troubles = told(tmp_path / name)
        assert troubles == []
        np.testing.assert_allclose(first.trajectory.entropies, EARLY)
        np.testing.assert_allclose(second.trajectory.entropies, LATE)
        assert first.trajectory.coverage == second.trajectory.coverage == 1.0


def test_gemini_parts_without_counts_and_end_get_no_gap(tmp_path):
    path = tmp_path / "parts.json"
    parts = gemini("a", EARLY)
    for part in parts:
        part.pop("usageMetadata", None)
        part["candidates"][0].pop("finishReason", None)
    path.write_text(json.dumps(parts))
    ((rollout,), _) = told(path)
    assert (len(rollout.trajectory), rollout.trajectory.coverage) == (4, 1.0)
    assert rollout.trajectory.calls[0].partial


def both_of_gemini():
    return zip(gemini("a", EARLY), gemini("a", LATE, index=1), strict=True)


@pytest.mark.parametrize("kind", ["chat", "legacy", "gemini"])
def test_an_end_that_is_told_twice_ends_one_answer(tmp_path, kind):
    *parts, last = STREAMS[kind]("a", EARLY)
    end = {"id": "a", "object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    ends = {
        "chat": [parts[-1], last, last],
        "legacy": [end, last],
        "gemini": [last, {**last, "candidates": [{"index": 0, "finishReason": "STOP"}]}],
    }
    (tmp_path / "log").write_text(FORMS["lines"]([*parts, *ends[kind]]))
    (found,), troubles = told(tmp_path / "log")
    assert troubles == []
    np.testing.assert_allclose(found.trajectory.entropies, EARLY)


BROKEN_OFF = {
    "chat": lambda: chat("a", EARLY)[:2],
    "legacy": lambda: legacy("a", EARLY)[:2],
    "gemini": lambda: gemini("a", EARLY)[:2],
    "ollama": lambda: ollama("a", EARLY)[:2],
    "llama.cpp": lambda: llama("a", EARLY)[:2],
    "responses": lambda: events("a", EARLY)[:3],
    "running totals": lambda: [
        {**part, "usage": {"completion_tokens": n}} for n, part in enumerate(chat("a", EARLY)[:2], 1)
    ],
}


@pytest.mark.parametrize("kind", BROKEN_OFF)
def test_a_cut_stream_lacks_at_least_one_token(tmp_path, kind):
    (tmp_path / "log").write_text(FORMS["lines"](BROKEN_OFF[kind]()))
    (found,), _ = told(tmp_path / "log")
    assert found.trajectory.calls[0].partial
    assert (len(found.trajectory), found.trajectory.scored_tokens) == (3, 2)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kind", ["gemini", "ollama", "llama.cpp", "chat"])
def test_a_part_that_came_twice_counts_once(tmp_path, kind, place):
    unlike = [2.0, 0.1, 0.3, 0.2]
    parts = STREAMS[kind]("a", unlike)
    (tmp_path / "log").write_text(FORMS["lines"]([*parts[:place], parts[place], *parts[place:]]))
    (found,), _ = told(tmp_path / "log")
    np.testing.assert_allclose(found.trajectory.entropies, unlike)


def test_what_azure_sends_first_is_no_answer(tmp_path):
    first = {"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": []}
    (tmp_path / "log").write_text(FORMS["lines"]([first, *chat("a", EARLY)]))
    (found,), _ = told(tmp_path / "log")
    assert found.name == "a"


def test_whole_answers_stay_answers_of_their_own(tmp_path):
    """Also with one id, also where nothing says that they are whole."""
    whole = {"candidates": [{"content": {}, "logprobsResult": result(EARLY)}], "modelVersion": "g"}
    text = {
        "id": "same",
        "object": "text_completion",
        "choices": [{"index": 0, "text": "x", "finish_reason": "stop", "logprobs": {"content": logprobs_for(LATE)}}],
    }
    for record in (whole, text, {"model": "m", "done": True, "response": "x", "logprobs": logprobs_for(LATE)}):
        (tmp_path / "log").write_text(FORMS["lines"]([record] * 3))
        assert [len(each.trajectory) for each in told(tmp_path / "log")[0]] == [4, 4, 4]


def test_answers_that_may_be_parts_do_not_pile_up(tmp_path, monkeypatch):
    monkeypatch.setattr(responses, "_MOST_DOUBTFUL", 20_000)
    whole = {"candidates": [{"content": {}, "logprobsResult": result(EARLY)}], "modelVersion": "g"}
    (tmp_path / "log").write_text(FORMS["lines"]([whole] * 60))
    with opened(tmp_path / "log") as source:
        first = next(found := found_in(source, pytest.fail, "responses"))
        held = len(found.gi_frame.f_locals["open_streams"].waiting)
    assert len(first.trajectory) == 4
    assert held <= 1


def test_a_stream_beyond_the_bounds_is_left_out(tmp_path):
    (tmp_path / "log").write_text(FORMS["lines"]([*chat("a", EARLY * 20), *chat("b", EARLY)]))
    found, troubles = told(tmp_path / "log", bounds=Bounds(record=20_000))
    assert [each.name for each in found][-1] == "b"
    assert "is a record of more than" in troubles[0]


# Alternatives in a whole answer


def choices(*rollouts, **more):
    return {"choices": [{"index": n, "logprobs": {"content": logprobs_for(e)}} for n, e in enumerate(rollouts)], **more}


WHOLE = {
    "chat": choices(EARLY, LATE, usage={"completion_tokens": 8}),
    "gemini": {
        "candidates": [{"content": {}, "logprobsResult": result(e), "finishReason": "STOP"} for e in (EARLY, LATE)],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 8},
    },
    "in a batch": {"custom_id": "q", "response": {"body": choices(EARLY, LATE, usage={"completion_tokens": 8})}},
}


@pytest.mark.parametrize("kind", WHOLE)
def test_alternatives_are_rollouts(tmp_path, kind):
    (tmp_path / "log").write_text(json.dumps(WHOLE[kind]) + "\n")
    (first, second), _ = told(tmp_path / "log")
    assert (first.name[-8:], second.name[-8:]) == ("choice 0", "choice 1")
    for each, entropies in ((first, EARLY), (second, LATE)):
        np.testing.assert_allclose(each.trajectory.entropies, entropies)
        assert each.trajectory.coverage == 1.0


@pytest.mark.parametrize("kind", ["chat", "gemini"])
def test_an_agent_goes_on_with_the_first(kind):
    for source in (WHOLE[kind], [WHOLE[kind], {"entropies": 1, **choices(LATE)}]):
        found = trajectory_of(source)
        np.testing.assert_allclose(found.entropies[:4], EARLY)
        assert len(found) == 4 * (2 if isinstance(source, list) else 1)
    np.testing.assert_allclose(trajectory_of(json.dumps(WHOLE[kind]).encode()).entropies, EARLY)


def test_alternatives_after_an_echoed_prompt_have_no_entries():
    echoed = [{"token": "q", "logprob": None, "top_logprobs": []}, *logprobs_for(EARLY)]
    answer = {"choices": [{"text": "x", "logprobs": {"content": echoed}}] * 2, "usage": {"completion_tokens": 8}}
    assert trajectory_of(answer).scored_tokens == 0


def test_a_list_of_other_things_is_refused():
    with pytest.raises(LogprobsError):
        trajectory_of([{"object": "list"}])
    assert isinstance(trajectory_of(chat("a", EARLY)), Trajectory)
