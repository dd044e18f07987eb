"""Who does not answer at all, and what is never shown."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from fake_openai import MODEL, Answer, chat_chunks
from kinds import Kind, refused

from ec_agent import DoctorError, record_calls
from ec_agent.doctor import ChatModelTarget, EndpointTarget, adiagnose, diagnose
from ec_agent.errors import ConfigError, EcAgentError
from ec_agent.local import LocalChatModel

KEY = "sk-very-secret-1234"


def test_a_host_that_is_not_there(ask):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(DoctorError, match=rf"cannot reach m at http://127\.0\.0\.1:{port}/v1 .*is the server running"):
        ask(EndpointTarget(f"http://127.0.0.1:{port}/v1", "m", timeout=2))


def test_a_wrong_key_ends_it_and_is_not_shown(endpoint):
    with pytest.raises(DoctorError, match=r"does not let us in \(401: Incorrect API key \*\*\*\); check the key") as e:
        endpoint(lambda body: refused(f"Incorrect API key {KEY}", 401), api_key=KEY)
    assert KEY not in str(e.value)
    assert isinstance(e.value, EcAgentError)


def test_a_wrong_key_of_a_chat_model(chat_model, ask):
    model = chat_model(lambda body: refused(f"Incorrect API key {KEY}", 401), api_key=KEY)
    with pytest.raises(DoctorError, match="check the key") as e:
        ask(ChatModelTarget(model))
    assert KEY not in str(e.value)


def test_a_chat_model_whose_host_is_not_there(chat_model, ask):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(DoctorError, match="cannot reach ChatOpenAI fake-model at"):
        ask(ChatModelTarget(chat_model(Kind(), base_url=f"http://127.0.0.1:{port}/v1")))


def test_no_part_of_a_report_shows_a_key(endpoint, fake):
    def echoing(body):
        return refused(f"tools are not for {KEY}") if body.get("tools") else Kind()(body)

    url = fake.url.replace("http://", "http://user:hunter2@")
    report = endpoint(echoing, base_url=url, api_key=KEY)
    text = json.dumps(report.to_dict()) + repr(report)
    assert "tools are not for ***" in text
    for secret in (KEY, "hunter2"):
        assert secret not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ftp://x/v1", "m"), "such as http://127.0.0.1:8080/v1"),
        (("http://", "m"), "such as http://127.0.0.1:8080/v1"),
        (("http://x:99999/v1", "m"), r"the base URL is 'http://x:99999/v1'; give one such as"),
        (("http://x:port/v1", "m"), r"the base URL is 'http://x:port/v1'; give one such as"),
        (("http://x:0/v1", "m"), "such as http://127.0.0.1:8080/v1"),
        (("http://[::1/v1", "m"), r"the base URL is 'http://\[::1/v1'; give one such as"),
        (("http://user:p@ss@[::1/v1?key=secret", "m"), r"the base URL is 'http://\[::1/v1'; give one such as"),
        (("http://x/v1?key=secret", "m"), "has a query, which an openai client cannot send"),
        (("http://x/v1", ""), "has no name"),
        (("http://x/v1", "m", None, 0.0), "seconds above 0"),
    ],
)
def test_odd_arguments_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        EndpointTarget(*arguments)


@pytest.mark.parametrize("place", ["127.0.0.1:99999/v1", "[::1/v1"])
def test_a_chat_model_whose_url_is_none_is_named_without_secrets(place):
    model = LocalChatModel(base_url=f"http://me:hunter2@{place}?key=k")
    assert ChatModelTarget(model).name == f"LocalChatModel {model.model} at http://{place}"


def test_something_that_is_no_chat_model_is_refused():
    with pytest.raises(ConfigError, match="of type dict; give a LangChain chat model"):
        ChatModelTarget({})


@pytest.mark.members(1)
def test_a_stream_that_trickles_for_ever_ends_in_time(endpoint):
    def trickling(body):
        return Answer([0.1] * 40, pace=0.1) if body.get("stream") else Kind()(body)

    found = endpoint(trickling, timeout=0.5).finding("stream")
    assert "no answer in time" in found.detail


def test_a_stream_that_breaks_off_is_a_finding(endpoint):
    def breaking(body):
        return Answer([0.1] * 9, drop_after=3) if body.get("stream") else Kind()(body)

    report = endpoint(breaking)
    assert str(report.finding("stream").mark) == "not known"


def test_a_stream_that_ends_without_an_end_is_a_finding(endpoint):
    """The client takes the end of the body for the end of the answer."""

    def ending(body):
        (chunk, *_) = chat_chunks(Answer([0.1]), body)
        return Answer(raw=("text/event-stream", f"data: {json.dumps(chunk)}\n\n".encode()))

    found = endpoint(lambda body: ending(body) if body.get("stream") else Kind()(body)).finding("stream")
    assert "broke off in the middle" in found.detail


def test_a_recording_around_does_not_hear_the_doctor(fake, chat_model):
    targets = [lambda: EndpointTarget(fake.url, MODEL), lambda: ChatModelTarget(chat_model(Kind(), logprobs=True))]
    for make in targets:
        fake.otherwise = Kind()
        with record_calls() as recorder:
            diagnose(make())
            asyncio.run(adiagnose(make()))
        assert len(recorder.trajectory().calls) == 0
