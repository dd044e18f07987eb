"""Changes streamed parts that LangChain cannot add up into OpenAI's form.

LangChain adds up the ``logprobs`` of all parts (``langchain_core.utils._merge.merge_dicts``). It joins lists, but
raises ``TypeError`` for two different numbers. So a run fails with servers that stream one token in place of a list of
one: mistral.rs (an object) and Together (a plain number). We have read the part before; LangChain gets the same token
in OpenAI's form. ``tests/capture/test_mergeable_parts.py`` checks the behaviour of LangChain that this relies on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai.types.chat import ChatCompletionTokenLogprob
from openai.types.chat.chat_completion_chunk import ChoiceLogprobs
from openai.types.chat.chat_completion_token_logprob import TopLogprob

from ec_agent.capture.shapes import get, listed, streamed_entries
from ec_agent.capture.shapes.values import text_of


def make_mergeable(chunk: Any) -> None:
    """Change a part of a chat stream in place if LangChain would fail with it. Other parts are not changed."""
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
    """Write a token or a candidate in OpenAI's form. pydantic would warn of any other form when it is dumped."""
    name, logprob = get(entry, "token"), get(entry, "logprob")
    text = text_of(entry)
    plain: dict[str, Any] = {"token": text, "logprob": logprob, "bytes": list(text.encode(errors="replace"))}
    if isinstance(name, int):
        plain["token_id"] = name
    return plain


def _token(entry: Any) -> ChatCompletionTokenLogprob:
    candidates = [TopLogprob.construct(**_plain(each)) for each in listed(get(entry, "top_logprobs"))]
    return ChatCompletionTokenLogprob.construct(**_plain(entry), top_logprobs=candidates)
