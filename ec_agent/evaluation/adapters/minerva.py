r"""``minerva:FILE``: Minerva's questions from university courses; the answers are formulas, compared by math-verify.

No package has them. The file is the data set as it is published, in JSONL or Parquet: ``question`` (or ``problem``),
and ``answer``, or ``solution`` with the answer in ``\boxed{}``.
"""

from __future__ import annotations

from ec_agent.evaluation.adapters.math_answers import load_math
from ec_agent.evaluation.tasks import Task

PUBLISHED = "the data set math-ai/minervamath from the Hugging Face hub"


def load(part: str, limit: int | None) -> list[Task]:
    """The questions of a file.

    Raises:
        ConfigError: no file is named, it is not as published, or math-verify is not installed.
    """
    return load_math("minerva", part, limit, PUBLISHED)
