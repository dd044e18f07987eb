"""Whether the name in an answer may be that of the model that was asked for."""

from __future__ import annotations

from collections.abc import Collection


def may_be(asked: str, answered: str) -> bool:
    """Whether these may name one model.

    Providers lengthen a name (``gpt-4o`` answers as ``gpt-4o-2024-08-06``) or shorten it (``Qwen/Qwen3-8B`` answers as
    ``Qwen3-8B``), so one name may stand within the other.
    """
    first, second = asked.lower(), answered.lower()
    return first in second or second in first


def another_answered(asked: Collection[str], answered: str) -> str | None:
    """What to tell the user, if the name in an answer is that of none of the models asked for.

    Args:
        asked: the names that were asked for; with no name there is nothing to compare.
        answered: the name in the answer; ``""`` if it had none.

    Returns:
        A sentence without a full stop, or ``None``.
    """
    if not asked or not answered or any(may_be(name, answered) for name in asked):
        return None
    return f"{' or '.join(sorted(asked))} was asked, {answered} answered: see that it is the model you mean"
