"""Words of models, tools, files and users, for a terminal."""

from __future__ import annotations

from ec_agent.live.console import plain_console, safe

__all__ = ["plain_console", "safe"]
