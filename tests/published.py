"""Small made files in the form in which data sets are published, and packages that only some machines have."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from ec_agent.evaluation.tasks import Outcome


def needs(module: str) -> None:
    """Leave the tests out where a package is not installed; where all must be, in CI, they fail instead."""
    if not os.environ.get("CI"):
        pytest.importorskip(module)


def jsonl(path: Any, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def said(text: str) -> Outcome:
    return Outcome(AIMessage(text))
