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
        if not (lacking := _lacking(error)):
            raise
        return _failed(lacking)
    from ec_agent.errors import EcAgentError

    try:
        app(prog_name="ec-agent")
    except EcAgentError as error:
        return _failed(f"ec-agent: {error}")
    except SystemExit as stop:
        return _failed(stop.code) if isinstance(stop.code, str) else stop.code
    except Exception as error:  # no error of ours; its words may be a server's
        import traceback

        return _failed(_lacking(error) or traceback.format_exc().rstrip())
    return None


def _lacking(error: Exception) -> str:
    """What to say where the command line's own packages are not there, or one of the two is; else nothing."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in ("click", "rich"):
        return ""
    from ec_agent.support.extras import installing

    return f"the command line needs {package}; run: {installing('ec-agent[cli]')}"


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
