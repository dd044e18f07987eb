"""Errors of clients and integrations, told apart by what they say of the endpoint."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ec_agent.capture.request_logprobs import told
from ec_agent.capture.shapes import get
from ec_agent.doctor.trials import CURE, MOST_DETAIL, Refusal
from ec_agent.errors import DoctorError

_NOT_LET_IN = 401
_BUSY = (408, 429, 502, 503, 504)
_SERVERS_OWN = 500
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9]*(?:-[a-z0-9]+)*\b")
# Words of servers that have a flag for it and do not say so: vLLM's.
_ABOUT_FLAGS = (
    (re.compile(r"logprobs of \d+, which is (?:is )?greater than max allowed", re.IGNORECASE), "--max-logprobs"),
)
_URL = "check the URL, which ends in /v1 as a rule"
_CURES = {
    403: "see what this key may do",
    404: f"{CURE}, which ends in /v1 as a rule",
    405: _URL,
}
_CLIENTS_OWN = re.compile(r"^Error code: \d+(?: - )?")
_USER = re.compile("//.*@")
_UNREACHABLE = ("APIConnectionError", "ConnectError", "ConnectionError", "ConnectionRefusedError")


class Turned(Exception):  # noqa: N818  # never seen outside: it carries a refusal to where it is returned
    """What came is no answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


def no_api(found: object) -> Turned:
    """Something came that is no answer of the API: a web page, as a rule, or an error that is called a success."""
    said = get(found, "error", "message")
    if isinstance(said, str):
        return Turned(Refusal(f"an error in place of an answer: {said}"))
    text = " ".join(found.split())[:60] if isinstance(found, str) else "JSON without an answer in it"
    return Turned(_no_api(text))


def _no_api(found: str) -> Refusal:
    return Refusal(f"not the API: {found}; the base URL ends in /v1 as a rule", hopeless=True, cure=_URL)


def refusal_of(error: Exception, name: str, secrets: Iterable[str], *, first: bool) -> Refusal:
    """What an exception says, in a line without secrets.

    Args:
        error: what a request raised.
        name: what was asked.
        secrets: keys that must not be shown.
        first: nothing has been answered yet.

    Raises:
        DoctorError: we are not let in; or nobody is there at the first request.
    """
    if isinstance(error, Turned):
        return replace(error.refusal, detail=shown(error.refusal.detail, secrets))
    status = _status(error)
    message = _message(error)
    detail = shown(message, secrets)
    if status == _NOT_LET_IN:
        raise DoctorError(f"{name} does not let us in (401: {detail}); check the key") from None
    if status is not None:
        return replace(_refused(status, detail), flags=flags_in(message))
    if _timed_out(error):
        late = "no answer in time; is the endpoint busy, or the timeout too short?"
        cure = "see what the server is doing, or give it longer: --timeout, or the timeout of a LangChain model"
        return Refusal(late, hopeless=True, cure=cure)
    if isinstance(error, json.JSONDecodeError):
        return _no_api("an answer that is no JSON, or empty")
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds.intersection(_UNREACHABLE):
        if first:
            raise DoctorError(f"cannot reach {name} ({detail}); is the server running, and the URL right?") from None
        return Refusal(f"the connection broke: {detail}", hopeless=True)
    return Refusal(f"{type(error).__name__}: {detail}")


def _refused(status: int, detail: str) -> Refusal:
    said = f"error {status}: {detail}" if detail else f"error {status}"
    if status in _BUSY:
        cure = "ask again later; if that does not help, look at your quota and at the server"
        return Refusal(f"{said}; the endpoint is busy, ask again later", status, hopeless=True, cure=cure)
    if status >= _SERVERS_OWN:
        return Refusal(said, status, cure="see the server's log")
    return Refusal(said, status, cure=_CURES.get(status, CURE))


def flags_in(message: str) -> tuple[str, ...]:
    """The flags of a server's command line that would let it do what it refuses, where it says or means them."""
    named = _FLAG.findall(message)
    meant = [flag for words, flag in _ABOUT_FLAGS if words.search(message)]
    return tuple(dict.fromkeys([*named, *meant]))


def shown(text: str, secrets: Iterable[str]) -> str:
    """Text in one line, cut, its secrets blacked out."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = " ".join(text.split())
    return text if len(text) <= MOST_DETAIL else text[: MOST_DETAIL - 3] + "..."


def bare_url(url: str) -> str:
    """The URL without user, password and query; one that is none is shown as far as it has no secrets."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _USER.sub("//", re.split("[?#]", url)[0])
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def written(settings: Mapping[str, Any]) -> str:
    """Settings as the arguments of a call in Python."""
    return ", ".join(f"{name}={_literal(value)}" for name, value in settings.items())


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_literal(key)}: {_literal(held)}' for key, held in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _status(error: Exception) -> int | None:
    for path in (("status_code",), ("response", "status_code"), ("code",)):
        status = get(error, *path)
        if isinstance(status, int) and 400 <= status <= 599:
            return int(status)
    return None


def _message(error: Exception) -> str:
    body = get(error, "body")
    inside = get(body, "metadata", "raw")  # as OpenRouter passes on what a provider says
    said = inside or get(body, "message") or get(body, "error", "message") or get(body, "detail")
    if not isinstance(said, str) or inside:
        said = " ".join(told(inside or body))
    cause = error.__cause__
    text = said or str(error) or type(error).__name__
    if "<html" in text.lower():
        return "an HTML page"
    text = _CLIENTS_OWN.sub("", text)
    return f"{text} {cause}" if cause is not None and text == "Connection error." else text


def _timed_out(error: Exception) -> bool:
    return isinstance(error, TimeoutError | asyncio.TimeoutError) or any(
        "Timeout" in kind.__name__ for kind in type(error).__mro__
    )
