"""What two paths made of the same answer, to be compared bit for bit."""

from __future__ import annotations

from ec_agent.numbers.signals import SIGNALS

ALL = tuple(SIGNALS)
ENTROPIES = [1.5, 0.25, 0.75]
KEPT = {"signals": ALL, "keep_text": True, "keep_candidates": 3}


def told_of(call):
    """All that a call says, but when it was made."""
    facts = (
        "tokens",
        "texts",
        "candidates",
        "model",
        "node",
        "prompt_tokens",
        "cached_tokens",
        "capability",
        "partial",
    )
    return {
        **{name: call.signal(name).tobytes() for name in ALL},
        **{name: getattr(call, name) for name in (*facts, "constrained")},
    }


def told_by(recorder):
    return [told_of(call) for call in recorder.every_call()]
