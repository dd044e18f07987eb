"""JSON documents taken apart in their bytes: the elements are those that a parser finds, and one fault costs one."""

from __future__ import annotations

import io
import json
import math

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from log_kit import told

from ec_agent.cli.app import app
from ec_agent.logs.bounds import BoundError, Bounds
from ec_agent.logs.splitting import Ending, elements_of, keys_of
from ec_agent.testing import logprobs_for

WORDS = st.text(st.sampled_from('[]{},:"\\/\n aé孛'), max_size=6)
NUMBERS = st.one_of(st.integers(), st.floats())
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=10,
)
LAYOUTS = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}])


class Drop(io.BytesIO):
    """A file that comes in small pieces."""

    def __init__(self, text, size):
        super().__init__(text.encode())
        self._most = size

    def read(self, size=-1):
        return super().read(min(size, self._most) if size > 0 else self._most)


def same(a, b):
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)  # NaN is not equal to itself


@given(st.lists(VALUES, max_size=5), LAYOUTS, st.integers(1, 40))
def test_the_elements_of_an_array(elements, layout, size):
    *found, ending = elements_of(Drop(json.dumps(elements, **layout), size), Bounds())
    assert same([json.loads(each) for each in found], elements)
    assert ending == Ending(cut=False)


@given(st.dictionaries(WORDS, VALUES, max_size=3), st.lists(VALUES, max_size=4), LAYOUTS, st.integers(1, 40))
def test_the_elements_under_a_key(document, elements, layout, size):
    """What stands before and after does not matter, nor the same key further within."""
    document = {"eval": {"samples": [1]}, **document, "samples": elements, "end": {"samples": [2]}}
    *found, _ = elements_of(Drop(json.dumps(document, **layout), size), Bounds(), "samples")
    assert same([json.loads(each) for each in found], elements)


@given(st.dictionaries(WORDS, VALUES, min_size=1, max_size=5), LAYOUTS, st.integers(3, 40))
def test_the_keys_of_the_first_object(document, layout, size):
    text = json.dumps(document, **layout)
    for whole in (text, f"[{text}]", f"[{text}, 1]", f"{text}\n{text}"):
        assert list(keys_of(Drop(whole, size), Bounds())) == list(document)


@pytest.mark.parametrize("text", ["", "[]", "[1]", "7", '"a"', "[[{}]]", "nonsense"])
def test_no_keys(text):
    assert list(keys_of(io.BytesIO(text.encode()), Bounds())) == []


@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
def test_a_cut_array_is_said_to_be_cut(elements, data):
    text = json.dumps(elements)
    cut = data.draw(st.integers(1, len(text) - 1))
    *found, ending = elements_of(io.BytesIO(text[:cut].encode()), Bounds())
    assert ending == Ending(cut=True)
    assert same([json.loads(each) for each in found], elements[: len(found)])


def test_an_element_beyond_the_bounds_costs_itself_alone():
    deep, large = "[" * 30 + "]" * 30, json.dumps("x" * 500)
    text = f'[{{"a": 1}}, {deep}, [2], {large}, {{"b": [3]}}]'
    for size in (1, 7, 10_000):
        *found, ending = elements_of(Drop(text, size), Bounds(depth=20, record=100))
        assert [isinstance(each, BoundError) for each in found] == [False, True, False, True, False]
        assert (found[0], ending) == (b'{"a": 1}', Ending(cut=False))


# Files


def answer(number, value=None):
    choice = {"logprobs": {"content": logprobs_for([2.0, 0.1, *[0.1] * number])}}
    return {"choices": [choice], "usage": {"completion_tokens": 2 + number}, "cost": value}


ODD_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
FORMS = {
    "lines": lambda records: "\n".join(map(json.dumps, records)),
    "an array": json.dumps,
    "an indented array": lambda records: json.dumps(records, indent=2),
    "documents": lambda records: "\n".join(json.dumps(record, indent=2) for record in records),
    "documents side by side": lambda records: " ".join(map(json.dumps, records)),
    "an event stream": lambda records: (
        "".join(f"event: x\ndata: {json.dumps(each)}\n\n" for each in records) + "data: [DONE]\n"
    ),
}


@pytest.mark.parametrize("word", ODD_NUMBERS)
@pytest.mark.parametrize("form", FORMS)
def test_a_number_that_is_no_json_loses_no_record(tmp_path, form, word):
    records = [answer(number, ODD_NUMBERS[word] if number == 1 else 0.5) for number in range(4)]
    file = tmp_path / "log"
    file.write_text(FORMS[form](records))
    assert word in file.read_text()
    found, troubles = told(file)
    assert ([len(each.trajectory) for each in found], troubles) == ([2, 3, 4, 5], [])


@pytest.mark.parametrize("indent", [None, 1])
def test_odd_numbers_all_over_an_inspect_log(tmp_path, indent):
    """As Inspect writes them: in its header's metrics, which stand before the samples, and in scores."""
    samples = [
        {"id": n, "events": [], "output": answer(n, math.inf), "scores": {"s": {"value": math.nan if n == 1 else 1.0}}}
        for n in range(3)
    ]
    header = {"version": 2, "status": "success", "eval": {"config": {}}, "results": {"mean": math.nan}}
    file = tmp_path / "log.json"
    file.write_text(json.dumps({**header, "samples": samples, "reductions": [math.nan]}, indent=indent))
    done = CliRunner().invoke(app, ["score", str(file), "--json"])
    rows = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()]
    assert [(row["tokens"], row["outcome"]) for row in rows] == [(2, 1.0), (3, None), (4, 1.0)]
    assert done.stderr == ""


def test_a_logprob_that_is_no_number_is_a_gap(tmp_path):
    record = answer(3)
    record["choices"][0]["logprobs"]["content"][1]["top_logprobs"][0]["logprob"] = math.nan
    file = tmp_path / "log.json"
    file.write_text(json.dumps([record, answer(0)]))
    first, second = told(file)[0]
    assert (first.trajectory.scored_tokens, second.trajectory.scored_tokens) == (4, 2)


GOOD = json.dumps(answer(0))
FAULTY = {
    "a bad element": (f"[{GOOD}, {{bad}}, {GOOD}]", 2, "record 1 is not JSON", "1 record was"),
    "two bad elements": (f"[{GOOD}, {{bad}}, nil, {GOOD}]", 2, "record 2 is not JSON", "2 records were"),
    "a cut array": (f"[{GOOD}, {GOOD[:-9]}", 1, "after 1 records is not JSON", "at least 1 record was"),
    "an array and more": (f"[{GOOD}] {GOOD}\n{GOOD}", 1, "something after the array's end", "at least 1 record was"),
    "an array in a line and more": (f"[{GOOD}, {GOOD}]\nend of log\n\n", 2, "something after", "at least 1 record was"),
    "an array in a line, more and no array": (
        f"[{GOOD}, {GOOD}]\nnil\n7",
        2,
        "something after",
        "at least 1 record was",
    ),
    "two arrays in lines and more": (f"[{GOOD}]\nnil\n[{GOOD}]", 2, "line 2 is not JSON", "1 record was"),
    "a document and more": (f"{GOOD}\n\n{{\n nonsense\n {GOOD}", 2, "line 3 is not JSON", "2 records were"),
    "two documents and more": (
        f"{json.dumps(answer(0), indent=1)}\n{GOOD}\n{{\nnonsense\n\n",
        2,
        "after 2 documents is not JSON",
        "at least 1 record was",
    ),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_reported_faults_match_the_skipped_records(tmp_path, fault):
    text, kept, words, count = FAULTY[fault]
    file = tmp_path / "log.json"
    file.write_text(text)
    done = CliRunner().invoke(app, ["score", str(file), "--json"])
    assert len(done.stdout.splitlines()) == kept
    assert words in done.stderr
    assert f"\n{count} left out" in done.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("indent", [None, 1])
def test_arrays_have_one_rollout_per_element_in_any_encoding(tmp_path, encoding, indent):
    file = tmp_path / "log.json"
    file.write_bytes(json.dumps([answer(0), answer(1), answer(2)], indent=indent).encode(encoding))
    found, troubles = told(file)
    assert ([len(each.trajectory) for each in found], troubles) == ([2, 3, 4], [])
