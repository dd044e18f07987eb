"""What the doctor finds at an endpoint, asked through a bare client, sync and async."""

from __future__ import annotations

import pytest
from fake_openai import MODEL, Answer
from findings import ALL_GOOD, CASES, advice, marks
from kinds import HTML, Kind, refused

from ec_agent.doctor import EndpointTarget, Mark, Verdict
from ec_agent.doctor.report import QUESTIONS

FOLLOWING = 4  # a text and a tool call, as ChatOpenAI with the settings, and with request_logprobs=True
ASKED_OF_ALL = 12 + FOLLOWING


def test_an_endpoint_that_does_everything(endpoint, fake):
    report = endpoint(Kind())
    assert marks(report) == ALL_GOOD
    assert (report.verdict, report.exit_code) == (Verdict.USABLE, 0)
    assert report.spent.requests == len(fake.asked) == ASKED_OF_ALL
    assert report.spent.prompt_tokens == 7 * ASKED_OF_ALL
    assert report.spent.generated_tokens == 6 * 13 + 4 * 4  # one answer of two choices; two tool calls, tried twice
    assert "logprobs=True, top_logprobs=20" in advice(report)
    assert advice(report, needed=True) == ""


def test_a_target_can_be_asked_again(fake, ask):
    fake.otherwise = Kind()
    target = EndpointTarget(fake.url, MODEL)
    first, second = ask(target), ask(target)
    assert first.findings == second.findings
    assert (first.spent.requests, second.spent.requests) == (ASKED_OF_ALL, ASKED_OF_ALL)


def test_every_question_asks_for_few_tokens(endpoint, fake):
    endpoint(Kind())
    names = ("max_tokens", "max_output_tokens", "max_completion_tokens")
    limits = [next(body[name] for name in names if name in body) for body in fake.bodies()]
    assert max(limits) <= 64
    varied = [body for body in fake.bodies() if body.get("temperature") == 1.0]
    assert {body.get("n", 1) for body in varied} == {1, 2}
    assert [body["seed"] for body in varied if "seed" in body] == [7, 7, 8]


@pytest.mark.parametrize(("kind", "verdict", "expected"), CASES.values(), ids=CASES)
def test_each_kind_is_seen_for_what_it_is(endpoint, kind, verdict, expected):
    report = endpoint(kind)
    found = marks(report)
    assert report.verdict == verdict
    assert {question: found[question] for question in expected} == expected
    if verdict is Verdict.USABLE:
        left = {"reasoning", "tools_stream", "usage", "responses", "completions"}
        left |= {"temperature"} if "temperature" in kind.unsupported or kind.reasoning else set()
        untouched = set(QUESTIONS) - set(expected) - left
        assert {found[question] for question in untouched} == {"yes"}


@pytest.mark.parametrize("most", [2, 3, 5, 8, 11])
def test_a_limit_that_is_named_is_found(endpoint, fake, most):
    report = endpoint(Kind(most=most))
    assert f"{most} at most; 20 asked: error 400" in report.finding("top_k").detail
    assert f"top_logprobs={most}," in advice(report)
    # request_logprobs=True asks for 20, 8, 5 and none; with none there is no need to try a tool call.
    more = {2: 2, 3: 2, 5: 2, 8: 1, 11: 1}[most]
    assert report.spent.requests == len(fake.asked) == ASKED_OF_ALL + 1 + more
    assert ("request_logprobs=True" in advice(report)) is (most >= 5)
    assert {body.get("top_logprobs") for body in fake.bodies()[1 : 1 + ASKED_OF_ALL - FOLLOWING]} == {most, None}


def test_a_single_candidate_is_no_entropy(endpoint):
    report = endpoint(Kind(most=1))
    assert report.verdict is Verdict.UNUSABLE
    assert "one candidate a token: no entropy" in report.finding("logprobs").detail


def test_a_limit_that_is_not_named_is_searched(endpoint):
    def kind(body):
        if body.get("top_logprobs", 0) > 6:
            return refused("top_logprobs is too large")
        return Kind()(body)

    report = endpoint(kind)
    assert report.finding("top_k").detail.startswith("5 at most")
    assert report.finding("logprobs").mark is Mark.YES


def test_an_answer_cut_in_its_reasoning_is_asked_for_again_at_length(endpoint, fake):
    report = endpoint(Kind(reasoning="hm", wanted=500))
    assert report.finding("logprobs").mark is Mark.YES
    assert report.finding("stream").mark is Mark.YES
    assert [body.get("max_tokens") for body in fake.bodies()][:3] == [24, 1024, 1024]


@pytest.mark.parametrize("asked", ["tools", "stream", "response_format"])
def test_reasoning_before_one_kind_of_answer_alone_is_seen(endpoint, asked):
    report = endpoint(lambda body: Kind(reasoning="hm" if body.get(asked) else None)(body))
    assert report.finding("reasoning").mark is Mark.YES


@pytest.mark.parametrize(("reasoning", "mark"), [("hm", Mark.YES), (None, Mark.NO)])
def test_reasoning_of_a_model_that_answers_with_streams_alone_is_asked_for(endpoint, reasoning, mark):
    def streaming(body):
        return Kind(reasoning=reasoning)(body) if body.get("stream") else refused("only stream mode is supported")

    assert endpoint(streaming).finding("reasoning").mark is mark


def test_the_share_of_a_tool_calls_tokens_is_measured(endpoint):
    report = endpoint(Kind(call_logprobs=1))
    assert report.finding("tools").coverage == 0.25
    assert "PromptedToolModel" in advice(report, needed=True)
    assert "min_coverage" in advice(report)


@pytest.mark.members(1)
def test_what_to_set_follows_from_what_was_found(endpoint):
    assert 'disable_streaming="tool_calling"' in advice(endpoint(Kind(tools_stream=False)), needed=True)
    assert "disable_streaming=True" in advice(endpoint(Kind(streamed_logprobs=False)), needed=True)
    assert "request_logprobs=True" in advice(endpoint(Kind(tools_stream=False)))
    assert "disable_streaming" not in advice(endpoint(Kind(call_logprobs=False)))
    assert "nothing can be scored by logprobs" in advice(endpoint(Kind(logprobs=False)), needed=True)
    sampled = advice(endpoint(Kind(logprobs="sampled")), needed=True)
    assert "only the sampled" in sampled
    assert "LowestCentroid(signal='surprisal')" in sampled
    assert "stream_usage=True" in advice(endpoint(Kind()))
    assert "stream_usage" not in advice(endpoint(Kind(usage=False)))
    assert "temperature, not by seed" in advice(endpoint(Kind(seeds=False)))
    assert "coarse" in advice(endpoint(Kind(fewer=2)))
    assert "turn reasoning off" in advice(endpoint(Kind(reasoning="hm", thinking=30)))


def test_a_sampled_token_that_is_not_among_its_candidates_shows(endpoint):
    def kind(body):
        answer = Kind()(body)
        if answer.logprobs and "messages" in body:
            answer.logprobs["content"][0]["token"] = "another"
        return answer

    found = endpoint(kind).finding("sampled")
    assert (found.mark, found.detail) == (Mark.PARTLY, "5 of 6 at temperature 2, 0 of them not the likeliest")


def chat_only_refused(body):
    return Kind()(body) if "input" in body else refused("This model is only supported in v1/responses", 404)


def test_an_endpoint_of_responses_only(endpoint):
    report = endpoint(chat_only_refused)
    assert report.finding("responses").mark is Mark.YES
    assert report.verdict is Verdict.WITH_SETTINGS
    assert "use_responses_api=True" in advice(report, needed=True)


def spoiled(answer, *, when):
    """An endpoint that does everything but what ``when`` picks out."""
    return lambda body: answer if when(body) else Kind()(body)


WHEN = {
    "tools": lambda b: b.get("tools") and not b.get("stream"),
    "stream": lambda b: b.get("stream") and not b.get("tools") and not b.get("response_format"),
    "tools_stream": lambda b: b.get("stream") and b.get("tools"),
    "responses": lambda b: "input" in b,
    "n": lambda b: b.get("n") == 2,
    "seed": lambda b: b.get("seed") == 8,
}
ODD = {
    "400": (Answer(status=400, error="no"), "no", "error 400: no"),
    "404": (Answer(status=404, error="no"), "no", "error 404: no"),
    "500": (Answer(status=500, error="oh"), "no", "error 500: oh"),
    "429": (Answer(status=429, error="slow"), "not known", "ask again later"),
    "HTML": (Answer(raw=HTML), "not known", "not the API: <html>"),
    "an error called success": (
        Answer(raw=("application/json", b'{"error": {"message": "no credit"}}')),
        "no",
        "an error in place of an answer: no credit",
    ),
    "HTML 404": (Answer(raw=HTML, status=404), "no", "error 404"),
    "no JSON": (Answer(raw=("application/json", b"{nonsense")), "not known", "not the API: an answer that is no JSON"),
    "502": (Answer(status=502, error="no upstream"), "not known", "ask again later"),
    "empty": (Answer(raw=("application/json", b"{}")), "not known", "JSON without an answer"),
}
LATE = Answer(delay=4.0)
ANSWERS_NOTHING = ODD | {"403": (Answer(status=403, error="no"), "no", "403"), "late": (LATE, "", "no answer in time")}
CURES = {
    "403": "see what this key may do",
    "404": "check the model's name and the URL, which ends in /v1 as a rule",
    "HTML 404": "check the model's name and the URL, which ends in /v1 as a rule",
    "429": "ask again later",
    "500": "see the server's log",
    "502": "ask again later",
    "HTML": "check the URL, which ends in /v1 as a rule",
    "no JSON": "check the URL, which ends in /v1 as a rule",
    "empty": "check the URL, which ends in /v1 as a rule",
    "late": "see what the server is doing, or give it longer: --timeout",
}
ENOUGH = 2.0  # seconds: the other questions must be answered within it, on a busy machine too


@pytest.mark.parametrize("question", WHEN)
@pytest.mark.parametrize(("answer", "mark", "detail"), ODD.values(), ids=ODD)
def test_an_error_at_one_question_is_a_finding(endpoint, question, answer, mark, detail):
    report = endpoint(spoiled(answer, when=WHEN[question]))
    if "stream" in question and answer.raw is not None and answer.status is None:
        mark, detail = "not known", "an empty stream"  # which is what a client reads in such a body
    only_that(report, question, mark, detail)


@pytest.mark.members(1)
@pytest.mark.parametrize("question", ["tools", "stream", "responses"])
def test_an_answer_too_late_is_a_finding(endpoint, question):
    report = endpoint(spoiled(LATE, when=WHEN[question]), timeout=ENOUGH)
    only_that(report, question, "not known", "no answer in time")


def only_that(report, question, mark, detail):
    """The one question went wrong, as told, and no other did."""
    found = report.finding(question)
    assert (str(found.mark), detail in found.detail) == (mark, True), found
    others = {q: m for q, m in marks(report).items() if q not in (question, "usage")}
    assert others == {q: m for q, m in ALL_GOOD.items() if q not in (question, "usage")}


@pytest.mark.parametrize("what", ANSWERS_NOTHING)
def test_an_endpoint_that_answers_nothing_is_no_traceback(endpoint, what):
    answer, _, detail = ANSWERS_NOTHING[what]
    report = endpoint(lambda body: answer, timeout=0.5 if answer is LATE else 5)
    assert (report.verdict, report.exit_code) == (Verdict.UNANSWERED, 1)
    assert report.finding("logprobs").mark is Mark.UNKNOWN
    assert detail in report.finding("logprobs").detail
    assert report.finding("seed").mark is Mark.NOT_ASKED
    assert report.spent.requests <= 3 + (answer.status == 404)  # then the older completions API is asked too
    cure = CURES.get(what, "check the model's name and the URL")
    assert advice(report, needed=True).startswith(f"nothing was answered: {cure}")


@pytest.mark.members(1)
@pytest.mark.parametrize("what", ["429", "502", "late"])
def test_a_server_that_is_busy_says_nothing_of_tool_calls(endpoint, what):
    answer, _, detail = ANSWERS_NOTHING[what]
    report = endpoint(spoiled(answer, when=WHEN["tools"]), timeout=ENOUGH)
    said = advice(report, needed=True)
    assert (report.verdict, report.exit_code) == (Verdict.WITH_SETTINGS, 3)
    assert said.startswith("tool calls: not known (")
    assert detail in said
    assert CURES[what] in said
    assert "no tool call came" not in said


def test_a_model_that_is_not_there(endpoint):
    report = endpoint(Kind(only=("another",)))
    assert report.verdict is Verdict.UNANSWERED
    assert "does not exist" in report.finding("logprobs").detail
