"""Which records are one rollout, and which rollouts answer one task: as the user or the log says, or as is told."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ec_agent.cli.app import app
from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.logs.asked import asked_of, earlier_of
from ec_agent.logs.keys import from_option, looked_up, named
from ec_agent.testing import logprobs_for

EARLY, LATE = [2.0, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 2.0]


def answer(entropies, **more):
    choice = {"message": {"role": "assistant", "content": "x"}, "logprobs": {"content": logprobs_for(entropies)}}
    return {"object": "chat.completion", "choices": [choice], **more}


def of_all(make, tasks=5, rollouts=3):
    """A record for each rollout of each task, of which rollout 1 has the lowest centroid. Not in any order."""
    numbers = [(task, number) for number in range(rollouts) for task in range(tasks)]
    return [make(task, number, answer(EARLY if number == 1 else LATE)) for task, number in numbers]


def score(folder, records, *options, name="saved.jsonl"):
    file = folder / name
    file.write_text("\n".join(map(json.dumps, records)))
    return CliRunner().invoke(app, ["score", str(file), "--json", *options])


def rows(folder, records, *options):
    done = score(folder, records, *options)
    assert done.exception is None, done.exception
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def batch(form):
    return lambda task, number, response: {
        "id": f"batch_req_{task}{number}",
        "custom_id": form.format(task=task, number=number),
        "response": {"status_code": 200, "body": response},
    }


def test_a_hundred_questions_times_eight_give_a_hundred_choices(tmp_path):
    records = of_all(batch("{task}-{number}"), 100, 8)
    found, told = rows(tmp_path, records, "--task-from", "^([0-9]+)-")
    best = [row for row in found if row["best"]]
    assert (len(found), len(best), told) == (800, 100, "")
    assert {row["id"] for row in best} == {f"{task}-1" for task in range(100)}
    assert {row["task"] for row in best} == set(map(str, range(100)))


# What the user says

QUESTIONS = {
    "a key": ("question", lambda task, number, response: {"question": f"q{task}", "response": response}),
    "a key further down": ("a.b.c", lambda task, number, response: {"a": {"b": {"c": task}}, "response": response}),
    "a key with dots": ("a.b", lambda task, number, response: {"a.b": f"q{task}", "response": response}),
    "a key in JSON": ("note.q", lambda task, number, response: {"note": json.dumps({"q": task}), "response": response}),
    "a place in a list": (
        "messages.0.content",
        lambda task, number, response: {"messages": [{"role": "user", "content": f"q{task}"}], "response": response},
    ),
    "the id": (r"^(q\d+)", batch("q{task} try {number} of 3")),
    "a part of a key": (
        r"meta.name=-(\d+)$",
        lambda t, n, response: {"meta": {"name": f"{n}-{t}"}, "response": response},
    ),
    "a value that is no text": (
        "seen",
        lambda task, number, response: {"seen": [task, {"x": 1}], "response": response},
    ),
}


@pytest.mark.parametrize("way", QUESTIONS)
def test_tasks_as_the_user_says(tmp_path, way):
    option, make = QUESTIONS[way]
    found, told = rows(tmp_path, of_all(make), "--task-from", option)
    assert told == ""
    assert [row["best"] for row in found] == [False] * 5 + [True] * 5 + [False] * 5
    assert len({row["task"] for row in found}) == 5


def test_a_task_is_one_in_all_files(tmp_path):
    files = []
    for number, entropies in enumerate((LATE, EARLY)):
        files.append(str(tmp_path / f"seed-{number}.jsonl"))
        records = [{"question": task, "response": answer(entropies)} for task in range(4)]
        (tmp_path / f"seed-{number}.jsonl").write_text("\n".join(map(json.dumps, records)))
    done = CliRunner().invoke(app, ["score", *files, "--json", "--task-from", "question"])
    assert [json.loads(line)["best"] for line in done.stdout.splitlines()] == [False] * 4 + [True] * 4


def test_a_record_without_the_key_is_named_and_left_out(tmp_path):
    records = [{"q": 1, "entropies": LATE}, {"entropies": EARLY}, {"q": 1, "entropies": EARLY}]
    found, told = rows(tmp_path, records, "--task-from", "q")
    assert [row["best"] for row in found] == [False, True]
    assert "saved.jsonl, 1 has no task: nothing in it is what --task-from q names" in told
    assert isinstance(score(tmp_path, records, "--task-from", "q", "--strict").exception, LogprobsError)
    assert "has no task" in str(score(tmp_path, records, "--task-from", "z").exception)


@pytest.mark.parametrize("option", ["--task-from", "--rollout-from"])
@pytest.mark.parametrize(
    ("record", "given", "hint"),
    [
        ({"q": 1, "entropies": LATE}, "z", "give a key that it has: q, entropies"),
        ({"q": 1, "entropies": LATE}, "z=(.)", "give a key that it has: q, entropies"),
        ({"q": 1, "entropies": LATE}, "q=(x)", "give a regular expression that matches its q"),
        ({"id": "a", "entropies": LATE}, "^(x)", "give a regular expression that matches its id"),
        (LATE, "z", "give a regular expression on its id"),
        (
            {**{f"k{n}": n for n in range(20)}, "entropies": LATE},
            "z",
            "k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11, ...",
        ),
    ],
    ids=["no key", "no key to match", "a value", "an id", "no object", "many keys"],
)
def test_who_names_what_is_not_there_is_told_what_is(tmp_path, option, record, given, hint):
    done = score(tmp_path, [record, record], option, given)
    assert isinstance(done.exception, LogprobsError)
    assert hint in str(done.exception)
    assert hint in " ".join(done.stderr.split())


def test_a_file_that_is_named_twice_has_its_rollouts_once(tmp_path):
    records = [{"id": str(number), "entropies": each} for number, each in enumerate((LATE, EARLY))]
    file = str(tmp_path / "saved.jsonl")
    done = score(tmp_path, records, "--one-task", file, file)
    assert [json.loads(line)["best"] for line in done.stdout.splitlines()] == [False, True]


def turn(task, number, place, entropies):
    return {
        "custom_id": f"q{task}-r{number}-t{place}",
        "run": f"run {task} {number}",
        "response": {"body": answer(entropies)},
    }


def turns(order):
    return [
        turn(task, number, place, [0.1 + place, 0.5]) for place in order for task in range(4) for number in range(2)
    ]


ROLLOUTS = {
    "a key": (turns([0, 1, 2]), "run"),
    "a part of the id": (turns([0, 1, 2]), r"^(q\d+-r\d+)"),
    "with the order": (turns([2, 0, 1]), r"^(q\d+-r\d+)-t(\d+)"),
}


@pytest.mark.parametrize("way", ROLLOUTS)
def test_several_calls_over_the_lines_are_one_rollout(tmp_path, way):
    records, option = ROLLOUTS[way]
    found, told = rows(tmp_path, records, "--rollout-from", option, "--task-from", r"^(q\d+)")
    assert (len(found), told) == (8, "")
    assert {(row["calls"], row["tokens"]) for row in found} == {(3, 6)}
    assert len({row["centroid"] for row in found}) == 1
    (one,) = rows(tmp_path, [{"entropies": [[0.1, 0.5], [1.1, 0.5], [2.1, 0.5]]}])[0]
    assert found[0]["centroid"] == one["centroid"]
    assert sum(row["best"] for row in found) == 4


def test_numbers_of_rollouts_count_within_a_task(tmp_path):
    records = [
        {"q": f"q{task}", "rollout": number, "response": answer(EARLY)}
        for _ in range(2)
        for task in range(3)
        for number in range(2)
    ]
    found, _ = rows(tmp_path, records, "--task-from", "q", "--rollout-from", "rollout")
    assert [row["calls"] for row in found] == [2] * 6
    found, _ = rows(tmp_path, records[:6], "--task-from", "q")
    assert [row["calls"] for row in found] == [1] * 6


def test_one_task_and_each_record(tmp_path):
    records = of_all(lambda task, number, response: {"session_id": "session-1", "task_id": task, "response": response})
    found, told = rows(tmp_path, records, "--one-task", "--rollout-from", "record")
    assert (len(found), sum(row["best"] for row in found), told) == (15, 1, "")


@pytest.mark.parametrize("text", ["", " ", "^q", "q*", "(", "()(", "key=", "key=q", "key=("])
@pytest.mark.parametrize("option", ["--task-from", "--rollout-from"])
def test_odd_values_are_refused_with_an_example(tmp_path, option, text):
    error = score(tmp_path, [{"entropies": EARLY}], option, text).exception
    assert isinstance(error, ConfigError)
    assert f"{option} is {text!r}" in str(error)
    assert "'^(q[0-9]+)-'" in str(error)


@pytest.mark.parametrize(
    "options",
    [
        ("--task-from", "q", "--one-task"),
        ("--rollout-from", "q", "--one-rollout"),
        ("--task-from", "q", "--one-rollout"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(tmp_path, options):
    assert score(tmp_path, [{"entropies": EARLY}], *options).exit_code == 2


# What is guessed is told

GUESSED = {
    "a key": (
        lambda task, number, response: {"task_id": task, "response": response},
        "compared by task_id: 5 tasks of 3",
    ),
    "two keys that agree": (
        lambda task, number, response: {"question_id": task, "question": f"what is {task}?", "response": response},
        "compared by question_id: 5 tasks of 3",
    ),
    "a key in the metadata": (
        lambda task, number, response: {"metadata": {"question": f"q{task}"}, "response": response},
        "compared by metadata.question: 5 tasks of 3",
    ),
    "messages": (
        lambda task, number, response: {
            "messages": [{"role": "user", "content": f"q{task}", "id": f"{task}-{number}"}],
            "response": response,
        },
        "compared by what the model was asked: 5 tasks of 3",
    ),
    "a request": (
        lambda task, number, response: {"request": {"input": f"q{task}", "seed": number}, "response": response},
        "compared by what the model was asked: 5 tasks of 3",
    ),
    "ids, task first": (batch("question-{task}-{number}"), "whose last number counts the rollouts: 5 tasks of 3"),
    "ids, rollout first": (batch("sample{number}/{task}"), "whose first number counts the rollouts: 5 tasks of 3"),
    "ids with names": (
        lambda task, number, response: {"id": f"{'abcde'[task]}_{number}", "entropies": EARLY if number == 1 else LATE},
        "whose last number counts the rollouts: 5 tasks of 3",
    ),
    "ids that come again": (batch("q{task}"), "compared by their ids, which come again: 5 tasks of 3"),
}


@pytest.mark.parametrize("kind", GUESSED)
def test_what_is_guessed_is_told(tmp_path, kind):
    make, words = GUESSED[kind]
    found, told = rows(tmp_path, of_all(make))
    assert words in told
    assert "--task-from" in told
    assert [row["best"] for row in found] == [False] * 5 + [True] * 5 + [False] * 5


def test_answers_to_one_request_are_of_one_task(tmp_path):
    both = [*answer(LATE)["choices"], *answer(EARLY)["choices"]]
    found, told = rows(tmp_path, [{"choices": both} for _ in range(3)])
    assert [row["best"] for row in found] == [False, True] * 3
    assert "compared by request, of those with several answers: 3 tasks of 2" in told


def test_calls_with_one_session_are_one_rollout(tmp_path):
    records = [
        {"session_id": f"session-{task}-{number}", "messages": asked(task, place), "response": answer(EARLY)}
        for place in range(2)
        for task in range(3)
        for number in range(2)
    ]
    found, told = rows(tmp_path, records)
    assert [row["calls"] for row in found] == [2] * 6
    assert [row["id"] for row in found][:2] == ["session-0-0", "session-0-1"]
    assert "records with the same session_id are the calls of one rollout" in told
    assert "compared by what the model was asked: 3 tasks of 2" in told


def asked(task, turns_before):
    later = [{"role": "assistant", "content": "x"}, {"role": "user", "content": "more"}] * turns_before
    return [{"role": "user", "content": f"q{task}"}, *later]


def test_where_nothing_says_it_that_is_told(tmp_path):
    found, told = rows(tmp_path, [LATE, EARLY])
    assert [row["best"] for row in found] == [False, True]
    assert "nothing says which of the 2 rollouts answer the same task: all are compared" in told
    assert rows(tmp_path, [EARLY])[1] == ""


# Files that are not what they look like

AMBIGUOUS = {
    "ids with two bare numbers": (of_all(batch("{task}-{number}")), "makes 5 tasks of 3; --task-from"),
    "custom_ids of one stem": (of_all(batch("request-{task}{number}")), "do not show which answer the same task"),
    "custom_ids that say nothing": (
        [batch("{task}")("abc"[n], 0, answer(EARLY)) for n in range(3)],
        "do not show which answer the same task",
    ),
    "ids of which some come again": ([{"id": each, "entropies": EARLY} for each in "aab"], "some ids come again"),
    "a key in some records": (
        [{"task_id": "a", "entropies": EARLY}, {"entropies": LATE}],
        "1 of 2 rollouts have task_id, the others have none",
    ),
    "keys that disagree": (
        of_all(lambda task, number, response: {"task_id": task, "question_id": number, "response": response}),
        "task_id and question_id group the rollouts differently",
    ),
    "what was asked, of some": (
        [{"messages": asked(0, 0), "response": answer(EARLY)}, answer(LATE)],
        "what was asked of 1 of 2 rollouts",
    ),
    "questions that are all different": (
        [{"messages": asked(task, 0), "response": answer(EARLY)} for task in range(3)],
        "each of 3 rollouts was asked something else",
    ),
    "turns of agents, without a session": (
        [{"messages": asked(0, place), "response": answer(EARLY)} for place in (0, 0, 1, 1)],
        "they may be calls of one rollout. Say it: --rollout-from",
    ),
    "one session for all": (
        [{"session_id": "session-1", "entropies": each} for each in (EARLY, LATE)],
        "all records have the same session_id, but it may hold one rollout or several",
    ),
    "a session of some": (
        [{"session_id": s, "entropies": EARLY} for s in ("session-1", "session-1", "session-2", None)],
        "some records have session_id in common, and others have none",
    ),
    "sessions that disagree": (
        [
            {"session_id": f"session-{number % 2}", "thread_id": f"thread-{number // 2}", "entropies": EARLY}
            for number in range(4)
        ],
        "session_id and thread_id group the records differently",
    ),
    "numbers of rollouts": (
        [{"rollout": number % 2, "entropies": EARLY} for number in range(4)],
        "or the rollout of that number of several tasks",
    ),
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_an_ambiguous_file_is_refused_with_what_to_say(tmp_path, kind):
    records, words = AMBIGUOUS[kind]
    done = score(tmp_path, records)
    assert isinstance(done.exception, LogprobsError), done.output
    assert words in str(done.exception)
    assert "say it: " in str(done.exception).lower()
    assert done.stdout == ""


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_what_to_say_helps(tmp_path, kind):
    records, _ = AMBIGUOUS[kind]
    found, _ = rows(tmp_path, records, "--one-task", "--rollout-from", "record")
    assert sum(row["best"] for row in found) == 1
    assert len(found) == len(records)


def test_runs_of_langsmith_are_grouped_by_their_metadata(tmp_path):
    def run(task, number, response):
        trace = {"id": f"trace-{task}-{number}", "trace_id": f"trace-{task}-{number}", "run_type": "chain"}
        call = {"id": f"call-{task}-{number}", "trace_id": trace["id"], "run_type": "llm", "outputs": response}
        return [{**trace, "extra": {"metadata": {"question": task}}}, call]

    records = [each for pair in of_all(run) for each in pair]
    found, told = rows(tmp_path, records, "--task-from", "extra.metadata.question")
    assert told == ""
    assert [row["best"] for row in found] == [False] * 5 + [True] * 5 + [False] * 5


# The parts


def test_who_said_what_is_what_was_asked():
    plain = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    same = [
        {"messages": plain},
        {"request": {"messages": plain, "seed": 3}, "response": {}},
        {"messages": [{"type": "system", "content": "s"}, {"type": "human", "content": "q", "id": "5"}]},
        {"messages": [{"role": "system", "content": [{"type": "text", "text": "s"}]}, plain[1]]},
        {"messages": [*plain, {"role": "assistant", "content": "a"}]},  # a conversation with its answer
        {"kwargs": {"messages": [plain]}},
    ]
    assert len({asked_of(each) for each in same}) == 1
    others = [
        {"messages": plain[1:]},
        {"messages": [*plain, {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"}]},
        {"messages": [plain[0], {"role": "user", "content": "other"}]},
    ]
    assert len({asked_of(each) for each in [*others, same[0]]}) == 4
    assert earlier_of(others[1]) == asked_of(same[0])
    assert earlier_of(same[0]) is earlier_of(same[4]) is None


@pytest.mark.parametrize("record", [None, 7, [], {}, [1.0, 2.0], [[1.0]], {"messages": []}, {"messages": 5}, "text"])
def test_of_other_things_nothing_was_asked(record):
    assert asked_of(record) is earlier_of(record) is None


def test_keys_and_names():
    assert looked_up([{"a": None}, {"a": 2}], "a") == 2
    assert looked_up({"a": [{"b": 1}]}, "a.0.b") == 1
    assert looked_up({"a": "{"}, "a.b") is looked_up({"a": [1]}, "a.7") is looked_up(None, "a") is None
    long = ["x" * 500 + end for end in "ab"]
    assert len({named(each) for each in long}) == 2
    assert max(len(named(each)) for each in long) < 130
    assert from_option("--task-from", "(a)|b").of({}, "b") is None
