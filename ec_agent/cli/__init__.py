"""The command line, ``ec-agent``. Importing it and asking for ``--help`` loads nothing heavy."""

from __future__ import annotations

import os
import sys

COMPLETING = "_EC_AGENT_COMPLETE"  # set by the script of `ec-agent completion`, whenever a shell asks for words


def main() -> None:
    """Entry point of ``ec-agent``: run a command; print errors of ours without a traceback, exit with 1.

    What is printed, errors included, gives no orders to the terminal: it is text of models, files and servers.
    """
    if COMPLETING in os.environ:  # a shell reads it, no terminal: click writes words of ours, as bytes
        sys.exit(_run())
    from ec_agent.cli.streams import plain_streams

    with plain_streams():
        sys.exit(_run())


def _run() -> int | str | None:
    try:
        from ec_agent.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        from ec_agent.support.extras import installing

        return _failed(f"the command line needs {error.name}; run: {installing('ec-agent[cli]')}")
    from ec_agent.errors import EcAgentError

    try:
        app(prog_name="ec-agent")
    except EcAgentError as error:
        return _failed(f"ec-agent: {error}")
    except SystemExit as stop:
        return _failed(stop.code) if isinstance(stop.code, str) else stop.code
    except Exception:  # no error of ours; its words may be a server's
        import traceback

        return _failed(traceback.format_exc().rstrip())
    return None


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
