"""Check that LangGraph's ``ToolNode`` runs its calls through the private methods that ``CommitToolNode`` overrides.

``ToolNode`` has no public place around one run of all its calls. If LangGraph renamed these methods, our overrides
would never be called, and each call would run without the journal: silently, and perhaps twice. So each node is
checked when it is made. Seen in langgraph-prebuilt 1.1.3; ``tests/insides/test_tool_nodes.py`` guards this.
"""

from __future__ import annotations

from typing import Any

from ec_agent.errors import ConfigError

_RUN = {"func": "_func", "afunc": "_afunc"}  # what LangGraph calls, and the method that it must be
_READ = ("_parse_input", "_messages_key", "tools_by_name")


def check_overridden(node: Any) -> None:
    """Refuse a tool node whose calls would not run through its own methods.

    Args:
        node: an instance of a subclass of ``ToolNode``, after its ``__init__``.

    Raises:
        ConfigError: the installed LangGraph names them otherwise.
    """
    missing = [name for name in _READ if not hasattr(node, name)]
    missing += [own for called, own in _RUN.items() if getattr(node, called, None) != getattr(node, own, missing)]
    if missing:
        raise ConfigError(
            f"the installed langgraph runs tool calls without ToolNode.{missing[0]}, where ec_agent writes commits "
            "down, so no call would be carried out at most once; install a version of langgraph that this ec_agent "
            "knows, or a newer ec_agent"
        )
