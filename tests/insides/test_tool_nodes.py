"""A tool node whose overrides LangGraph would not call is refused, by name."""

from __future__ import annotations

import pytest
from langchain_core.tools import tool
from langgraph.prebuilt import ToolNode

from ec_agent import CommitToolNode, ConfigError
from ec_agent.insides.tool_nodes import check_overridden


@tool
def send(to: str) -> str:
    """Send."""
    return f"sent to {to}"


def test_the_installed_langgraph_runs_our_methods():
    node = CommitToolNode([send])
    check_overridden(node)
    assert node.func == node._func
    assert node.afunc == node._afunc


@pytest.mark.parametrize(("called", "name"), [("func", "_func"), ("afunc", "_afunc")])
def test_a_langgraph_that_runs_another_method_is_refused(monkeypatch, called, name):
    made = ToolNode.__init__

    def renamed(self, *args, **kwargs):
        made(self, *args, **kwargs)
        setattr(self, called, lambda *args, **kwargs: None)

    monkeypatch.setattr(ToolNode, "__init__", renamed)
    with pytest.raises(ConfigError, match=rf"without ToolNode\.{name}, .* install a version of langgraph"):
        CommitToolNode([send])


def test_a_langgraph_that_reads_its_input_otherwise_is_refused(monkeypatch):
    monkeypatch.delattr(ToolNode, "_parse_input")
    with pytest.raises(ConfigError, match=r"without ToolNode\._parse_input"):
        CommitToolNode([send])
