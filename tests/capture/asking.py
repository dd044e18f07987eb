"""The ways to ask for an answer, sync and async, and to compare what was recorded."""

from __future__ import annotations

import asyncio

import numpy as np
from fake_openai import MODEL

NONE = float("nan")
LOGPROBS = {"logprobs": True, "top_logprobs": 20}
INCLUDE = {"include": ["message.output_text.logprobs"]}


def chat(prompt, **kwargs):
    """The arguments of a chat completion that asks for logprobs."""
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **LOGPROBS, **kwargs}


def timelines(recorder):
    """What was recorded, one list of entropies a call, rounded; ``None`` where a token has none."""
    return [shown(call.entropies) for call in recorder.trajectory().calls]


def shown(entropies):
    return [None if np.isnan(h) else round(float(h), 6) for h in entropies]


async def in_thread(function, *args):
    """A sync function from an async test, its context along with it."""
    return await asyncio.to_thread(function, *args)
