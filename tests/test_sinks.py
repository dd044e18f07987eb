from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import smtplib
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage

import pytest
from short_form import part_of
from sinks import Mail, Post, http_sink, smtp_sink


def mail(key: str | None, body: str, to: str = "ann@example.com", header: str = "X-Idempotency-Key") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "agent@example.com", to
    if key is not None:
        message[header] = key
    message.set_content(body)
    return message


def send_mails(port: int, keys: list[str]) -> None:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost", timeout=30) as client:
        for key in keys:
            client.send_message(mail(key, f"body of {key}"))


def post(connection: http.client.HTTPConnection, path: str, key: str | None, body: object) -> tuple[int, bytes]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, sent, {} if key is None else {"Idempotency-Key": key})
    response = connection.getresponse()
    return response.status, response.read()


def connect(port: int) -> contextlib.closing[http.client.HTTPConnection]:
    return contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30))


def send_posts(port: int, keys: list[str]) -> None:
    with connect(port) as connection:
        for key in keys:
            assert post(connection, "/refunds", key, {"key": key})[0] == 200


def test_a_mail_is_recorded_with_its_key_recipients_and_body():
    with smtp_sink() as sink, smtplib.SMTP("127.0.0.1", sink.port, local_hostname="localhost") as client:
        client.send_message(mail("k1", "two\nlines, ünïcode", "ann@example.com, bob@example.com"))
        client.send_message(mail(f"<{'m' * 80}@example.com>", "by id", header="Message-ID"))
        client.send_message(mail(None, "no key"))
        client.send_message(mail("k1", "again"))
        assert sink.deliveries == [
            Mail("k1", ("ann@example.com", "bob@example.com"), "two\nlines, ünïcode"),
            Mail(f"<{'m' * 80}@example.com>", ("ann@example.com",), "by id"),
            Mail(None, ("ann@example.com",), "no key"),
            Mail("k1", ("ann@example.com",), "again"),
        ]


def test_a_post_is_recorded_with_its_path_key_and_body():
    with http_sink() as sink, connect(sink.port) as connection:
        assert post(connection, "/a", "k1", {"n": 1}) == (200, b'{"delivery": 1}')
        assert post(connection, "/b?c=d", None, [1]) == (200, b'{"delivery": 2}')
        assert post(connection, "/a", "k1", {"n": 1}) == (200, b'{"delivery": 3}')
        assert post(connection, "/a", "k2", b"{")[0] == 400
        assert sink.deliveries == [Post("/a", "k1", {"n": 1}), Post("/b?c=d", None, [1]), Post("/a", "k1", {"n": 1})]


def test_a_repeated_key_gets_the_first_answer_and_is_not_counted():
    with http_sink(dedupe=True) as sink, connect(sink.port) as connection:
        first = post(connection, "/a", "k1", {"n": 1})
        other = post(connection, "/a", "k2", {"n": 2})
        assert post(connection, "/a", "k1", {"n": 1}) == first != other
        assert post(connection, "/a", None, 3) != post(connection, "/a", None, 3)
        assert [delivery.key for delivery in sink.deliveries] == ["k1", "k2", None, None]
        assert sink.repeats == 1


@pytest.mark.members(1)
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(("kind", "send"), [(smtp_sink, send_mails), (http_sink, send_posts)])
def test_deliveries_of_other_processes_are_counted(kind, send, method):
    start = multiprocessing.get_context(method)
    with kind() as sink:
        children = [start.Process(target=send, args=(sink.port, [f"{n}-{i}" for i in range(20)])) for n in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
            assert child.exitcode == 0
        assert sorted(delivery.key for delivery in sink.deliveries) == sorted(
            f"{n}-{i}" for n in range(3) for i in range(20)
        )


@pytest.mark.parametrize(("kind", "send"), [(smtp_sink, send_mails), (http_sink, send_posts)])
def test_a_crowd_of_senders_loses_nothing(kind, send):
    with kind() as sink, ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda n: send(sink.port, [f"{n}-{i}" for i in range(10)]), range(part_of(100))))
        assert Counter(delivery.key for delivery in sink.deliveries) == {
            f"{n}-{i}": 1 for n in range(part_of(100)) for i in range(10)
        }


def test_repeats_at_the_same_moment_count_once():
    with http_sink(dedupe=True) as sink, ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: send_posts(sink.port, ["same"]), range(100)))
        assert (len(sink.deliveries), sink.repeats) == (1, 99)


def test_the_end_does_not_wait_for_open_connections_and_leaves_no_thread():
    before = set(threading.enumerate())
    with contextlib.ExitStack() as senders:
        with smtp_sink() as mails, http_sink() as posts:
            senders.enter_context(contextlib.closing(smtplib.SMTP("127.0.0.1", mails.port, local_hostname="localhost")))
            connection = senders.enter_context(connect(posts.port))
            post(connection, "/", "k", 1)
        for thread in set(threading.enumerate()) - before:
            thread.join(5)
        assert set(threading.enumerate()) <= before
        for port in (mails.port, posts.port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
