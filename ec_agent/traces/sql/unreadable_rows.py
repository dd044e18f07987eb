"""Errors of rows that ec_agent would not have written: a damaged database, or one that another program changed."""

from __future__ import annotations

from ec_agent.errors import EcAgentError, TraceError
from ec_agent.support.escaping import clipped

UNREADABLE = (EcAgentError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Errors that arise when objects are made from rows that we did not write. ``ValueError`` includes pydantic's errors
and ``PlainError``."""

UNSTORABLE = (AttributeError, OverflowError, TypeError, ValueError)
"""Errors that arise when rows are made from objects that ec_agent did not make."""


def odd(name: str, what: str, error: Exception, kind: str = "file") -> TraceError:
    """Make the error of rows that are not what ec_agent writes.

    Args:
        name: name of the store.
        what: what was being read.
        error: why it cannot be read.
        kind: what the store is.
    """
    return TraceError(
        f"{name} cannot be read: {what} is not what ec_agent writes ({clipped(error, 200)}); the {kind} is damaged, or "
        "another program changed it: restore it from a copy"
    )


def unstorable(error: Exception) -> TraceError:
    """Make the error of an object that cannot be stored."""
    return TraceError(
        f"a rollout cannot be stored ({type(error).__name__}: {error}); give what an evaluation or "
        "best_of_n(...).run(...) made"
    )
