"""``ec-agent score``: every shape it says it reads, and what it says of those it cannot."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ec_agent import HEPConfig, entropy_centroid
from ec_agent.cli.app import app
from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.testing import Reply, logprobs_for, message_of

EARLY = [2.0, 0.1, 0.1, 0.1, 0.1, 0.1]
LATE = [0.1, 0.1, 0.1, 0.1, 0.1, 2.0]


def response(entropies, **more):
    return {"choices": [{"logprobs": {"content": logprobs_for(entropies)}}], "model": "m", **more}


def score(tmp_path, text, *options):
    file = tmp_path / "saved.json"
    file.write_text(text if isinstance(text, str) else json.dumps(text))
    return CliRunner().invoke(app, ["score", str(file), *options])


def rows(tmp_path, text, *options):
    done = score(tmp_path, text, "--json", *options)
    assert done.exception is None, done.exception
    return [json.loads(line) for line in done.stdout.splitlines()]


RECORDS = {
    "numbers": LATE,
    "entropies": {"entropies": LATE},
    "entropies by call": {"entropies": [LATE[:3], LATE[3:]]},
    "lists by call": [LATE[:2], LATE[2:]],
    "calls": [{"entropies": LATE[:2]}, {"entropies": LATE[2:]}],
    "response": response(LATE),
    "messages": {"messages": [message_of(Reply("x", entropies=LATE)).model_dump()]},
    "responses by call": [response(LATE[:4]), response(LATE[4:])],
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_each_shape_scores_like_its_entropies(tmp_path, record):
    (row, other) = rows(tmp_path, json.dumps(record) + "\n" + json.dumps(EARLY))
    assert row["tokens"] == 6
    assert row["coverage"] == 1.0
    assert row["centroid"] == pytest.approx(entropy_centroid(LATE))
    assert row["reward"] == pytest.approx(1 - entropy_centroid(LATE))
    assert (row["best"], other["best"]) == (False, True)


def test_an_array_of_objects_is_one_rollout_each(tmp_path):
    found = rows(tmp_path, [{"id": "late", "entropies": LATE}, {"id": "early", **response(EARLY)}])
    assert [(row["id"], row["best"]) for row in found] == [("late", False), ("early", True)]


def test_one_rollout_joins_the_records(tmp_path):
    (row,) = rows(tmp_path, [response(EARLY), response(LATE)], "--one-rollout")
    assert (row["calls"], row["tokens"]) == (2, 12)
    assert row["centroid"] == pytest.approx(entropy_centroid(EARLY + LATE))


def test_settings_of_the_command_reach_the_score(tmp_path):
    config = HEPConfig(50, 30, 1)
    options = ("--top-percent", "50", "--bottom-percent", "30", "--consecutive-low", "1")
    (row,) = rows(tmp_path, EARLY, *options)
    assert row["centroid"] == entropy_centroid(EARLY, config)


def test_a_record_without_logprobs_is_shown_unscored(tmp_path):
    bare = {"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": 4}}
    found = rows(tmp_path, [bare, response(EARLY)])
    assert found[0]["centroid"] is None
    assert "no logprobs" in found[0]["comment"]
    assert found[1]["best"]


def test_low_coverage_is_unscored_unless_allowed(tmp_path):
    gappy = [2.0, None, None, None, 0.1, None]
    both = json.dumps(gappy) + "\n" + json.dumps(EARLY)
    assert rows(tmp_path, both)[0]["centroid"] is None
    assert rows(tmp_path, both, "--min-coverage", "0.2")[0]["centroid"] is not None


def test_the_table_marks_the_best(tmp_path):
    done = score(tmp_path, [{"id": "late", "entropies": LATE}, {"id": "early", "entropies": EARLY}])
    (marked,) = [line for line in done.stdout.splitlines() if "*" in line]
    assert "early" in marked


def test_nothing_to_score_is_an_error(tmp_path):
    done = score(tmp_path, [{"choices": [{"message": {"content": "x"}}]}])
    assert isinstance(done.exception, LogprobsError)
    assert "top_logprobs=20" in str(done.exception)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("{nonsense", "line 1 is not JSON"),
        ('"text"', "cannot find LLM calls"),
        ("[]", "none of 1"),
        ("7", "cannot find LLM calls"),
        ('{"entropies": "high"}', "cannot"),
        ('[{"what": 1}]', "cannot find LLM calls"),
        ('[1.0, "2.0"]', "neither a message nor"),
        ('[{"entropies": [1.0]', "after 0 records is not JSON"),
    ],
)
def test_odd_files_are_refused_with_their_place(tmp_path, text, words):
    done = score(tmp_path, text)
    assert isinstance(done.exception, LogprobsError), done.output
    assert words in str(done.exception)
    assert "saved.json" in str(done.exception)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1.0, 2.0]\n\n{nonsense", "line 3 is not JSON"),
        ('[1.0, 2.0]\n"text"', "line 2 cannot be read: cannot find LLM calls"),
        ('[\n{"entropies": [1.0, 2.0]},', "after 1 records is not JSON"),
        ('{"a":\n[1.0, 2.0]\n', "line 1 is not JSON"),
        ("[1.0, 2.0]\n\xff", "line 2 is not JSON"),
    ],
)
def test_odd_records_are_named_and_left_out_or_stop_it(tmp_path, text, words):
    file = tmp_path / "saved.json"
    file.write_bytes(text.encode("latin-1"))
    done = CliRunner().invoke(app, ["score", str(file), "--json"])
    assert done.exception is None
    assert [json.loads(line)["tokens"] for line in done.stdout.splitlines()] == [2]
    assert f"saved.json, {words}" in done.stderr
    assert "--strict stops at the first" in done.stderr
    strict = CliRunner().invoke(app, ["score", str(file), "--strict"])
    assert isinstance(strict.exception, LogprobsError)
    assert words in str(strict.exception)


def test_many_odd_records_are_counted(tmp_path):
    done = score(tmp_path, "[1.0, 2.0]\n" + "{\n" * 30)
    assert done.stderr.count("is not JSON") == 10
    assert "30 records were left out" in done.stderr


@pytest.mark.parametrize("options", [("--top-percent", "101"), ("--consecutive-low", "0"), ("--min-coverage", "2")])
def test_odd_settings_are_refused(tmp_path, options):
    assert isinstance(score(tmp_path, EARLY, *options).exception, ConfigError)


def test_a_dash_reads_standard_input(monkeypatch):
    done = CliRunner().invoke(app, ["score", "-", "--json"], input=json.dumps(EARLY))
    assert json.loads(done.stdout)["tokens"] == 6


def test_the_choices_of_one_response_are_rollouts_of_their_own(tmp_path):
    both = {"choices": [{"logprobs": {"content": logprobs_for(e)}} for e in (LATE, EARLY)], "id": "r"}
    found = rows(tmp_path, both)
    assert [(row["id"], row["tokens"], row["best"]) for row in found] == [
        ("r choice 0", 6, False),
        ("r choice 1", 6, True),
    ]


def test_surprisal_is_scored_when_it_is_asked_for_by_name(tmp_path):
    bare = [{"token": "x", "logprob": lp, "top_logprobs": []} for lp in (-3.0, -0.1, -0.1, -0.1, -0.1, -0.1)]
    saved = {"choices": [{"logprobs": {"content": bare}}]}
    done = score(tmp_path, saved)
    assert isinstance(done.exception, LogprobsError)
    (row,) = rows(tmp_path, saved, "--signal", "surprisal")
    assert (row["centroid"], row["coverage"], row["phases"]) == (0.5 / 6, 1.0, 1)
    assert score(tmp_path, saved, "--signal", "surprise").exit_code == 2


def test_rollouts_of_several_files_are_compared(tmp_path):
    paths = []
    for name, entropies in (("late", LATE), ("early", EARLY)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(response(entropies)))
    done = CliRunner().invoke(app, ["score", *map(str, paths), "--json"])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["file"], row["best"]) for row in found] == [(str(paths[0]), False), (str(paths[1]), True)]


def test_of_very_many_the_best_is_shown(tmp_path):
    done = score(tmp_path, "\n".join(json.dumps({"id": f"r{i}", "entropies": LATE}) for i in range(300)))
    assert "r0" in done.stdout
    assert "r1" not in done.stdout
    assert "1 of 300 rollouts; --json prints all" in done.stdout


def test_a_line_of_batch_api_output(tmp_path):
    line = {"id": "batch_req_1", "custom_id": "q7", "response": {"status_code": 200, "body": response(EARLY)}}
    (row,) = rows(tmp_path, json.dumps(line))
    assert (row["id"], row["tokens"]) == ("q7", 6)


def test_a_byte_order_mark_is_no_matter(tmp_path):
    file = tmp_path / "saved.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(EARLY).encode())
    assert json.loads(CliRunner().invoke(app, ["score", str(file), "--json"]).stdout)["tokens"] == 6
