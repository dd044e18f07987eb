"""Endpoints as they are met: one that does everything, and what others leave out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from fake_openai import Answer

from ec_agent.testing import logprobs_for

PLAIN = [1.0, 0.5, 0.2, 0.1, 1.5, 0.3]
CALL = [0.4, 0.1, 0.2, 0.3]
HELD = '{"answer": "blue"}'
HTML = ("text/html", b"<html><body>Not here</body></html>")


def refused(message: str, status: int = 400) -> Answer:
    return Answer(status=status, error=message)


@dataclass
class Kind:
    """What an endpoint does, whatever it is asked; ``kind(body)`` is its answer.

    Attributes:
        logprobs: whether there are any; ``"sampled"`` sends the sampled tokens' only.
        most: it refuses to be asked for more candidates.
        fewer: it sends at most so many, without a word.
        tools_stream: whether logprobs, tools and streaming go together.
        calls: whether it calls the tool it is offered.
        call_logprobs: whether a tool call's tokens have logprobs; a number is how many of them.
        streamed_logprobs: whether streamed answers have any.
        seeds: whether they are honoured; ``"deaf"`` answers all alike.
        choices: whether ``n`` is.
        choice_logprobs: whether each further choice has logprobs.
        responses: whether there is a Responses API; ``"bare"`` is one without logprobs.
        usage: whether it is reported: ``"unstreamed"`` as long as nothing is streamed.
        unsupported: parameters that are refused by name.
        reasoning: reasoning content.
        thinking: reasoning tokens, none of which has logprobs.
        holds: whether a schema holds its answers.
        wanted: the answer's text is cut short of so many tokens of reasoning.
        only: the names of the models it has.
    """

    logprobs: bool | str = True
    most: int | None = None
    fewer: int = 20
    tools_stream: bool = True
    calls: bool = True
    call_logprobs: bool | int = True
    streamed_logprobs: bool = True
    seeds: bool | str = True
    choices: bool = True
    choice_logprobs: bool = True
    responses: bool | str = True
    usage: bool | str = True
    unsupported: tuple[str, ...] = ()
    reasoning: str | None = None
    thinking: int = 0
    holds: bool = True
    wanted: int = 0
    only: tuple[str, ...] | None = None
    _count: Any = field(default_factory=itertools.count)

    def __call__(self, body: dict[str, Any]) -> Answer:
        no = self._refusal(body)
        if no is not None:
            return no
        if "input" in body:
            return self._response(body)
        calling = bool(body.get("tools")) and self.calls
        entropies: list[float | None] = list(CALL if calling else PLAIN)
        answer = Answer(entropies, text=HELD if self.holds and "response_format" in body else self._text(body))
        if calling:
            answer.tool_calls = [("get_weather", {"city": "Paris"})]
        self._add_logprobs(answer, body, calling)
        if self.choices and body.get("n", 1) > 1:
            answer.more = [PLAIN if self.choice_logprobs else []] * (body["n"] - 1)
            answer.logprobs = None if self.logprobs is True else answer.logprobs
        if self.usage is False or (self.usage == "unstreamed" and body.get("stream")):
            answer.usage = None
        self._think(answer, body)
        return answer

    def _refusal(self, body: dict[str, Any]) -> Answer | None:
        for name in self.unsupported:
            if name in body:
                return refused(f"Unsupported parameter: '{name}' is not supported with this model.")
        if self.only is not None and body["model"] not in self.only:
            return refused(f"The model '{body['model']}' does not exist", 404)
        if self.most is not None and body.get("top_logprobs", 0) > self.most:
            return refused(f"Invalid value for 'top_logprobs': must be at most {self.most}.")
        if not self.tools_stream and body.get("tools") and body.get("stream") and body.get("logprobs"):
            return refused("logprobs is not supported with tools + stream")
        if not self.responses and "input" in body:
            return Answer(status=404, raw=HTML)
        return None

    def _text(self, body: dict[str, Any]) -> str:
        if self.seeds is True and "seed" in body:
            return f"text {body['seed']}"
        return "text" if self.seeds in (True, "deaf") else f"text {next(self._count)}"

    def entries(self, entropies: list[float | None], top: int) -> list[dict[str, Any]]:
        entries = logprobs_for(entropies)
        for entry in entries:
            rows = entry["top_logprobs"]
            entry["token"] = rows[0]["token"]
            entry["top_logprobs"] = rows[: min(top, self.fewer)] if self.logprobs is True else []
        return entries

    def _add_logprobs(self, answer: Answer, body: dict[str, Any], calling: bool) -> None:
        lost = (calling and self.call_logprobs is False) or (body.get("stream") and not self.streamed_logprobs)
        if not body.get("logprobs") or not self.logprobs or lost:
            answer.logprobs = False
            return
        entries = self.entries(list(answer.entropies), body.get("top_logprobs", 0))
        if calling and self.call_logprobs is not True:
            entries = entries[: int(self.call_logprobs)]
        answer.logprobs = {"content": entries}

    def _think(self, answer: Answer, body: dict[str, Any]) -> None:
        answer.reasoning = self.reasoning
        if self.thinking:
            answer.reasoning_tokens = self.thinking
            answer.usage = len(answer.entropies) + self.thinking
        if body.get("max_tokens", 0) < self.wanted:
            answer.text, answer.logprobs, answer.usage, answer.finish = "", False, body["max_tokens"], "length"

    def _response(self, body: dict[str, Any]) -> Answer:
        answer = Answer(PLAIN)
        if self.responses == "bare" or not self.logprobs:
            answer.logprobs = False
        else:
            answer.logprobs = self.entries(list(PLAIN), body.get("top_logprobs", 0))
        return answer
