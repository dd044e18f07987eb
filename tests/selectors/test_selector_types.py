"""Type checkers take the shipped selectors, too: for pyright, a ``ClassVar`` is no property of a protocol."""

from __future__ import annotations

import pytest

from ec_agent import judges
from ec_agent.judges.judge import Judge
from ec_agent.selectors import SELECTORS
from ec_agent.selectors.base import AsyncSelector, Selector

JUDGES = [each for each in vars(judges).values() if isinstance(each, type) and issubclass(each, Judge)] or [Judge]


@pytest.mark.parametrize("kind", [*SELECTORS.values(), *JUDGES], ids=lambda kind: kind.__name__)
def test_what_the_protocol_asks_for_is_annotated_as_no_classvar(kind):
    wanted = {
        name
        for protocol in (Selector, AsyncSelector)
        for name in vars(protocol)
        if isinstance(vars(protocol)[name], property)
    }
    assert wanted == {"name", "signals"}
    for owner in kind.__mro__:
        annotated = vars(owner).get("__annotations__", {})
        assert not [name for name in wanted if "ClassVar" in str(annotated.get(name, ""))], owner
