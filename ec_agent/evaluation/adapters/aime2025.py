"""``aime2025:FILE``: the 30 questions of AIME 2025, I and II; the answers are whole numbers, compared by math-verify.

No package has them. The file is the data set as it is published, in JSONL or Parquet: ``problem`` (or ``question``),
``answer``, and ``id`` or ``problem_idx`` if it is there.
"""

from __future__ import annotations

from ec_agent.evaluation.adapters.math_answers import load_math
from ec_agent.evaluation.tasks import Task

PUBLISHED = "the data set math-ai/aime25 from the Hugging Face hub"


def load(part: str, limit: int | None) -> list[Task]:
    """The questions of a file.

    Raises:
        ConfigError: no file is named, it is not as published, or math-verify is not installed.
    """
    return load_math("aime2025", part, limit, PUBLISHED)
