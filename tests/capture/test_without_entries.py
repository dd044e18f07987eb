"""An answer without logprobs is read without looking for places: all its tokens are one gap."""

from __future__ import annotations

import numpy as np
import pytest

from ec_agent.capture.shapes import Payload, call_of, payload_of_message, payload_of_response
from ec_agent.numbers.signals import SIGNALS

USAGE = {"completion_tokens": 7, "prompt_tokens": 3, "total_tokens": 10}
TEXT = "seven tokens of text"


def chat(**more):
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "logprobs": None, "finish_reason": "stop"}
    return payload_of_response({"id": "x", "model": "m", "choices": [choice], **more})


PAYLOADS = {
    "a chat completion": (lambda: chat(usage=USAGE), 7),
    "one without usage": (chat, None),
    "a LangChain message": (
        lambda: payload_of_message(
            {
                "type": "ai",
                "content": TEXT,
                "usage_metadata": {"output_tokens": 7, "input_tokens": 3, "total_tokens": 10},
                "response_metadata": {"model_name": "m"},
            }
        ),
        7,
    ),
    "a count alone": (lambda: Payload(tokens=4), 4),
    "an empty answer": (lambda: Payload(tokens=0), 0),
    "nothing": (Payload, None),
}


@pytest.mark.parametrize(("payload", "tokens"), PAYLOADS.values(), ids=PAYLOADS.keys())
@pytest.mark.parametrize("kept", [False, True], ids=["numbers", "texts"])
def test_all_its_tokens_are_gaps(payload, tokens, kept):
    call = call_of(payload(), tuple(SIGNALS), keep_text=kept, keep_candidates=3 if kept else 0)
    assert call.tokens == tokens
    assert call.capability == "none"
    for name in SIGNALS:
        assert call.signal(name).dtype == np.float64
        assert call.signal(name).shape == (tokens or 0,)
        assert np.isnan(call.signal(name)).all()
    # No empty texts are made for tokens that are missing at the end: there may be very many of them.
    assert call.texts == (() if kept else None)
    assert call.candidates == (() if kept else None)


def test_what_it_says_is_not_looked_at():
    def said():
        raise AssertionError("there is nothing to place")

    assert call_of(Payload(tokens=5, said=said), ("entropy",)).tokens == 5
