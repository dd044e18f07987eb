"""Questions that one reply of a model answers, without tools."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ec_agent.evaluation.adapters.common import final_text
from ec_agent.evaluation.tasks import BaseTask, Outcome

_THOUGHT = "</think>"
_FENCED = re.compile(r"^[ \t]*(`{3,})[ \t]*(?:python3?|py)?[ \t]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)


class AnswerTask(BaseTask):
    """One question, one reply.

    Args:
        id: its name.
        input: the question, or messages, each a role and a text.
        gold: an answer that its verdict accepts; ``None`` where the data set has none.
        told: whatever else its verdict depends on, as JSON: a file of results goes on with the same only.

    Attributes:
        model_calls: how many model calls a rollout has.
    """

    model_calls = 1

    def __init__(self, id: str, input: str | Sequence[tuple[str, str]], gold: str | None, told: Any = None) -> None:
        super().__init__(id, input if isinstance(input, str) else {"messages": list(input)})
        self.gold = self.expected = gold
        self.fingerprint = json.dumps([self.input, gold, told], sort_keys=True, default=str)


def answer_in(outcome: Outcome) -> str:
    """The final text, without what a model has thought before it in ``<think>...</think>``."""
    text = final_text(outcome)
    return text.rpartition(_THOUGHT)[2].strip() if _THOUGHT in text else text


def code_in(outcome: Outcome) -> str:
    """The last fenced block of Python in the answer; the whole answer where there is none."""
    text = answer_in(outcome)
    blocks = _FENCED.findall(text)
    return str(blocks[-1][1]) if blocks else text
