"""Streamed parts in a form that LangChain can add up; ``tests/capture/test_single_entries.py`` guards what we rely on.

LangChain adds the ``logprobs`` of all parts (``langchain_core.utils._merge.merge_dicts``): lists one after the other,
but numbers that differ raise ``TypeError``, and text grows together. So the run fails on a server that streams one
token in the place of a list of one: mistral.rs (an object), Together (a bare number). We have read that body ourselves,
and hand LangChain the same tokens as OpenAI would have sent them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai.types.chat import ChatCompletionTokenLogprob
from openai.types.chat.chat_completion_chunk import ChoiceLogprobs
from openai.types.chat.chat_completion_token_logprob import TopLogprob

from ec_agent.capture.shapes import get, listed, streamed_entries
from ec_agent.capture.shapes.reading import text_of


def make_mergeable(chunk: Any) -> None:
    """Change the parts of a chat stream that LangChain would fail on, in place; all others stay as they are."""
    for choice in listed(getattr(chunk, "choices", None)):
        if _fails(getattr(choice, "logprobs", None)):
            choice.logprobs = ChoiceLogprobs.construct(content=[_token(each) for each in streamed_entries(choice)])


def _fails(logprobs: Any) -> bool:
    if logprobs is None or isinstance(logprobs, list):
        return False
    if isinstance(logprobs, Mapping):
        values = list(logprobs.values())
    elif isinstance(logprobs, ChoiceLogprobs):
        values = [*vars(logprobs).values(), *(logprobs.model_extra or {}).values()]
    else:
        return True
    return any(value is not None and not isinstance(value, list) for value in values)


def _plain(entry: Any) -> dict[str, Any]:
    """A token, or one of its candidates, as OpenAI sends it: anything else would be warned of where it is dumped."""
    name, logprob = get(entry, "token"), get(entry, "logprob")
    text = text_of(entry)
    plain: dict[str, Any] = {"token": text, "logprob": logprob, "bytes": list(text.encode(errors="replace"))}
    if isinstance(name, int):
        plain["token_id"] = name
    return plain


def _token(entry: Any) -> ChatCompletionTokenLogprob:
    candidates = [TopLogprob.construct(**_plain(each)) for each in listed(get(entry, "top_logprobs"))]
    return ChatCompletionTokenLogprob.construct(**_plain(entry), top_logprobs=candidates)
