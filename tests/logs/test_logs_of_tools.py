"""The list of what is read: files that real tools wrote, scored as is computed by hand from the raw file.

By hand means here: the file is unpacked and searched with the standard library (and LangGraph's serializer), and its
entropies are computed with ``math``. The programs ``data/record_*.py`` recorded the files, and say how. Below is the
other list: files that look alike and have nothing to score. Each is refused or explained.
"""

from __future__ import annotations

import gzip
import json
import math
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from log_kit import told

from ec_agent.cli.app import app
from ec_agent.logs import found_in, opened
from ec_agent.testing import logprobs_for

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Written:
    """A file of a tool.

    Attributes:
        file: its name in ``data``, which has the tool's version.
        rollouts: by rollout, how many tokens each call has.
        unscored: how many rollouts more are in it that the tool wrote without logprobs.
        left_out: how many records of it cannot be read.
    """

    file: str
    rollouts: tuple[tuple[int, ...], ...] = ((3, 2),)
    unscored: int = 0
    left_out: int = 0


EACH = ((3,), (2,))
TWICE = ((3, 2), (3, 2))
WRITTEN = {
    "AutoGen, model results": Written("autogen-ext-0.7.5.jsonl.gz", EACH),
    "DSPy, history": Written("dspy-3.4.1.jsonl.gz", EACH),
    "Haystack, messages": Written("haystack-ai-3.4.1.jsonl.gz", EACH),
    "Haystack, a streamed message": Written("haystack-ai-3.4.1-streamed.jsonl.gz", ((3,),)),
    "LangChain, dumps": Written("langchain-core-1.8.3-dumps.json.gz"),
    "LangChain, messages_to_dict": Written("langchain-core-1.8.3-messages-to-dict.json.gz"),
    "LangGraph, checkpoints": Written("langgraph-checkpoint-sqlite-3.1.2.db.gz"),
    "langfuse, a graph of LangGraph": Written("langfuse-5.0.4-langgraph.json.gz", TWICE),
    "langfuse, openai": Written("langfuse-5.0.4-openai.json.gz", ((3,),), unscored=2),
    "LangSmith, list_runs": Written("langsmith-0.15.1.jsonl.gz"),
    "LangSmith, query_v2": Written("langsmith-0.15.1-query-v2.jsonl.gz"),
    "LlamaIndex, responses": Written("llama-index-core-0.14.25.jsonl.gz", EACH),
    "LlamaIndex, what a stream yields": Written("llama-index-core-0.14.25-streamed.jsonl.gz", ((3,),)),
    "llm, its log": Written("llm-0.36.db.gz", ((3, 2), (3,)), unscored=1),
    "mini-swe-agent, a trajectory": Written("mini-swe-agent-2.4.6.json.gz"),
    "MLflow, traces": Written("mlflow-3.17.2.jsonl.gz", unscored=1),
    "MLflow, its database": Written("mlflow-3.17.2.db.gz", unscored=1),
    "openai, a page of stored completions": Written("openai-3.57.0-page.json.gz", EACH),
    "openai, chunks": Written("openai-3.57.0-streamed.jsonl.gz", ((3,),)),
    "openai-agents, a session": Written("openai-agents-0.24.0.json.gz"),
    "OpenInference, openai": Written("openinference-openai-0.1.66.json.gz", ((3, 2), (3,))),
    "OpenInference, langchain": Written("openinference-langchain-0.1.80.json.gz", ((3, 2), (3,))),
    "promptfoo, a document": Written("promptfoo-0.123.1.json.gz", (*EACH, *EACH), left_out=2),
    "promptfoo, lines": Written("promptfoo-0.123.1.jsonl.gz", (*EACH, *EACH), left_out=2),
    "pydantic-ai, messages": Written("pydantic-ai-2.68.0.json.gz"),
    "Traceloop, a graph of LangGraph": Written("traceloop-langchain-0.62.4.json.gz", TWICE),
    "smolagents, steps": Written("smolagents-1.26.0.json.gz"),
}


def test_there_are_more_than_ten_of_each():
    assert len({name.partition(",")[0] for name in WRITTEN}) >= 10
    assert len(ALIKE) >= 10


# By hand


def values_of(file):
    """Everything in a file, as plain values: JSON, lines, or the rows of a database."""
    raw = gzip.decompress(file.read_bytes())
    if not raw.startswith(b"SQLite format 3"):
        decoder, text, place = json.JSONDecoder(), raw.decode(), 0
        while rest := text[place:].lstrip():
            value, length = decoder.raw_decode(rest)
            place = len(text) - len(rest) + length
            yield value
        return
    connection = sqlite3.connect(":memory:")
    connection.deserialize(raw[:18] + b"\1\1" + raw[20:])  # a copy in memory has no -wal file
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        cursor = connection.execute(f'SELECT * FROM "{table}"')
        yield from (dict(zip([each[0] for each in cursor.description], row, strict=True)) for row in cursor)
    connection.close()


def entropies_in(value):
    """The entropy of each list of candidates anywhere in a value, also in JSON inside of text."""
    if isinstance(value, bytes):
        value = JsonPlusSerializer().loads_typed(("msgpack", value)) if b"logprob" in value else None
    if isinstance(value, str):
        try:
            value = json.loads(value) if value[:1] in ("{", "[") else None
        except ValueError:
            value = None
    value = getattr(value, "response_metadata", value)
    if isinstance(value, list):
        for each in value:
            yield from entropies_in(each)
    elif isinstance(value, dict):
        tops = value.get("top_logprobs")
        if isinstance(tops, list) and tops and isinstance(tops[0], dict) and "logprob" in tops[0]:
            yield entropy([each["logprob"] for each in tops])
        elif isinstance(tops, list):  # those of completions: a token's candidates by their texts
            yield from (entropy(list(each.values())) for each in tops if isinstance(each, dict))
        for key, each in value.items():
            if key != "top_logprobs":
                yield from entropies_in(each)


def entropy(logprobs):
    """Of all candidates, whose probabilities are made to sum to 1; in nats."""
    weights = [math.exp(each) for each in logprobs]
    whole = math.fsum(weights)
    return -math.fsum(each / whole * math.log(each / whole) for each in weights)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_tool_wrote_scores_as_its_raw_file_says(name):
    written = WRITTEN[name]
    raw = sorted({round(each, 9) for value in values_of(DATA / written.file) for each in entropies_in(value)})
    found, troubles = told(DATA / written.file)
    assert len(troubles) == written.left_out, troubles
    scored = [each.trajectory for each in found if each.trajectory.scored_tokens]
    assert sorted(tuple(call.tokens for call in each.calls) for each in scored) == sorted(written.rollouts)
    assert len(found) - len(scored) == written.unscored
    assert sorted({round(float(each), 9) for one in scored for each in one.entropies}) == raw
    # In which order: the server of the recording answered "q" with the first three, and "r" with the others.
    sent = {3: [2.0, 0.1, 0.7], 2: [0.1, 1.0]}
    for call in (call for one in scored for call in one.calls):
        np.testing.assert_allclose(call.entropies, sent[call.tokens], atol=1e-6)


# Files that look alike


def recorded(name):
    return lambda folder: DATA / name


def lines(*rows, suffix=".jsonl"):
    def write(folder):
        file = folder / f"log{suffix}"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return file

    return write


def completions_of_trl(folder):
    """The table that TRL's trainers log: texts and rewards."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / "completions_00001.parquet"
    pq.write_table(pa.table({"step": [1], "prompt": ["q"], "completion": ["x"], "accuracy_reward": [1.0]}), file)
    return file


def prompts_of_llm(folder):
    """The database of another program, with a table of a name that is known."""
    file = folder / "logs.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE responses (id INTEGER, text TEXT)")
    connection.close()
    return file


ASKED = {"model": "m", "messages": [{"role": "user", "content": "q"}], "logprobs": True, "top_logprobs": 20}
SHAREGPT = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "x"}]}
EMBEDDED = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}], "model": "m"}
NODES = [
    {"message": {"role": "user", "content": "q"}, "sampled": False, "token_ids": [], "logprobs": []},
    {"parent": 0, "message": {"role": "assistant", "content": "x"}, "sampled": True, "token_ids": [], "logprobs": []},
]
CALLED = {"node": 1, "model": "m", "sampling": {"logprobs": "true", "top_logprobs": "20"}, "finish_reason": "stop"}
VERIFIERS = {"id": "1", "traces": [{"verifiers": {"version": "0.4.0"}, "nodes": NODES, "calls": [CALLED]}], "ok": True}
ALIKE = {
    "AutoGen's streamed result": (recorded("autogen-ext-0.7.5-streamed.jsonl.gz"), "cannot find LLM calls"),
    "LlamaIndex's last part of a stream": (recorded("llama-index-core-0.14.25-last.jsonl.gz"), "could be scored"),
    "spans of logfire": (recorded("logfire-5.4.0.jsonl.gz"), "logfire leaves logprobs out"),
    "spans of Traceloop for openai": (recorded("traceloop-openai-0.62.4.json.gz"), "(Traceloop)"),
    "traces of verifiers": (lines(VERIFIERS), "verifiers' eval client leaves logprobs out"),
    "messages of Strands": (recorded("strands-agents-1.62.0.json.gz"), "could be scored"),
    "requests of a Batch": (lines({"custom_id": "q1", "method": "POST", "body": ASKED}), "cannot find LLM calls"),
    "errors of a Batch": (
        lines({"custom_id": "q1", "response": {"status_code": 429, "body": {"error": {"message": "x"}}}}),
        "cannot find LLM calls",
    ),
    "conversations to train on": (lines({"messages": ASKED["messages"]}), "could be scored"),
    "conversations of ShareGPT": (lines(SHAREGPT), "cannot find LLM calls"),
    "an answer with embeddings": (lines(EMBEDDED, suffix=".json"), "cannot find LLM calls"),
    "TRL's completions": (completions_of_trl, "cannot find LLM calls"),
    "rollouts of verl": (lines({"input": "q", "output": "x", "score": 1.0, "step": 1}), "cannot find LLM calls"),
    "samples of lm-eval": (
        lines({"doc_id": 0, "resps": [["x"]], "filtered_resps": ["x"], "doc": {}}),
        "lm-eval's generate_until leaves logprobs out",
    ),
    "a database of another program": (prompts_of_llm, "not a trace file"),
}


@pytest.mark.parametrize("name", ALIKE)
def test_a_file_that_looks_alike_is_refused_or_explained(tmp_path, name):
    write, words = ALIKE[name]
    done = CliRunner().invoke(app, ["score", str(write(tmp_path)), "--one-task"])
    assert done.exit_code
    assert words in " ".join(f"{done.exception} {done.output}".split())
    assert not isinstance(done.exception, AttributeError | KeyError | TypeError)


# Parts of a stream that are wrapped in records


def chunk(place, text, name="c1"):
    choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": logprobs_for([[2.0, 0.1, 0.7][place]])}}
    choice["finish_reason"] = "stop" if place == 2 else None
    return {"id": name, "object": "chat.completion.chunk", "choices": [choice]}


WRAPPED = {
    "beside a time": lambda part: {"time": 1.5, "chunk": part},
    "as text": lambda part: {"event": "message", "data": json.dumps(part)},
    "under raw": lambda part: {"message": {"role": "assistant"}, "delta": "x", "raw": part},
}


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("form", ["lines", "a record"])
def test_parts_that_are_wrapped_are_one_answer(tmp_path, wrap, form):
    parts = [WRAPPED[wrap](chunk(place, f"w{place}")) for place in range(3)]
    rows = parts if form == "lines" else [{"parts": parts}]
    with opened(lines(*rows)(tmp_path)) as source:
        (found,) = found_in(source, pytest.fail)
    np.testing.assert_allclose(found.trajectory.entropies, [2.0, 0.1, 0.7])


def test_keys_beside_a_wrapped_part_name_its_task(tmp_path):
    rows = [{"task": name, "chunk": chunk(place, "x", name)} for name in ("a", "b") for place in range(3)]
    done = CliRunner().invoke(app, ["score", str(lines(*rows)(tmp_path)), "--json", "--task-from", "task"])
    assert [json.loads(line)["task"] for line in done.stdout.splitlines()] == ["a", "b"]


def test_a_record_with_two_parts_or_a_whole_answer_is_not_a_part(tmp_path):
    whole = {"choices": [{"message": {"content": "x"}, "logprobs": chunk(0, "x")["choices"][0]["logprobs"]}]}
    rows = [{"answer": whole, "name": name} for name in "ab"]
    with opened(lines(*rows)(tmp_path)) as source:
        assert [len(each.trajectory) for each in found_in(source, pytest.fail)] == [1, 1]


def test_what_is_no_part_is_refused_as_before(tmp_path):
    with opened(lines({"chunk": {"object": "chat.completion.chunk"}})(tmp_path)) as source:
        troubles = []
        assert list(found_in(source, lambda where, what: troubles.append(what))) == []
    assert "cannot find LLM calls" in troubles[0]
