"""Ways of asking that say nothing of logprobs, and what was sent of them."""

from __future__ import annotations

from asking import INCLUDE
from fake_openai import MODEL

ENTROPIES = [1.5, 0.25, 0.75]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
HI = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


def sent(fake):
    """What was asked of the endpoint about logprobs, request by request."""
    names = ("logprobs", "top_logprobs", "include", "stream")
    return [{name: body[name] for name in names if name in body} for body in fake.bodies()]


WAYS = {
    "chat": (
        lambda client, **kwargs: client.chat.completions.create(**HI, **kwargs),
        {"logprobs": True, "top_logprobs": 20},
    ),
    "legacy": (
        lambda client, **kwargs: client.completions.create(model=MODEL, prompt="hi", **kwargs),
        {"logprobs": 20},
    ),
    "responses": (
        lambda client, **kwargs: client.responses.create(model=MODEL, input="hi", **kwargs),
        {**INCLUDE, "top_logprobs": 20},
    ),
}


def calling(prompt="call", **kwargs):
    messages = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "messages": messages, "tools": TOOLS, "stream": True, **kwargs}


def gathered(chunks):
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    return (
        "".join(delta.content or "" for delta in deltas),
        [(call.index, call.function.name, call.function.arguments) for call in calls],
        [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason],
        [chunk.usage.completion_tokens for chunk in chunks if chunk.usage],
    )


CALLED = ("", [(0, "look", '{"at": "x"}'), (1, "look", '{"at": "y"}')], ["tool_calls"])
