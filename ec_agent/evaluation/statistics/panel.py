"""The selectors that know nothing but how long a rollout was: what a clever one has to be told apart from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ec_agent.selectors import CONFOUNDS, Candidate, Selector, selector_named

PANEL: Mapping[str, Selector] = MappingProxyType({name: selector_named(name) for name in CONFOUNDS})
"""Name -> selector."""


def tokens_of(candidate: Candidate) -> int:
    """Generated tokens of a rollout."""
    return len(candidate.trajectory)


def calls_of(candidate: Candidate) -> int:
    """LLM calls of a rollout."""
    return len(candidate.trajectory.calls)
