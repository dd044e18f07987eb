"""The command line, ``ec-agent``. Importing it and asking for ``--help`` loads nothing heavy."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of ``ec-agent``: run a command; print errors of ours without a traceback, exit with 1."""
    try:
        from ec_agent.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(f"the command line needs {error.name}; install it: pip install 'ec-agent[cli]'")
    from ec_agent.errors import EcAgentError

    try:
        app(prog_name="ec-agent")
    except EcAgentError as error:
        sys.exit(f"ec-agent: {error}")
