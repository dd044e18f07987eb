"""The idempotency keys of actions. Whoever makes one anew from the same names gets the same key, after a kill too."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5


def winner_key(question: str, round: int, place: int | str) -> str:
    """Return the key of a call of a winner.

    Args:
        question: the name of the question.
        round: the number of the round.
        place: where in the winner's message the call is.
    """
    return _key(f"{question}/{round}/commit/{place}")


def node_key(thread: object, message: object, call_id: object) -> str:
    """Return the key of a call that a ``CommitToolNode`` carries out.

    Args:
        thread: the thread of the graph.
        message: id of the message that asks for the call, or what stands for it.
        call_id: id of the call.
    """
    return _key(f"{thread}/{message}/{call_id}")


def further_key(key: str, number: int) -> str:
    """Return the ``number``-th key derived from one that another step has, or that was closed."""
    return _key(f"{key}/{number}")


def log_key(run: str) -> str:
    """Return the key under which a journal keeps the log of a run."""
    return _key(f"{run}/acts")


def _key(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, name))
