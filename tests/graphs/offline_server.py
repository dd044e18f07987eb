"""``langgraph dev`` on a machine without a network: whatever is not this machine is refused, and noted.

python offline_server.py NOTES dev --port 8123 ...
"""

from __future__ import annotations

import sys
from typing import Any

from langgraph_cli.cli import cli

_HERE = ("127.", "localhost", "::1", "0.0.0.0", "::")


def refuse(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: it sees every connection and every question for an address that Python makes."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host and not str(host).startswith(_HERE):
        with open(sys.argv[1], "a") as notes:
            notes.write(f"{event} {host}\n")
        raise OSError(101, "Network is unreachable")


if __name__ == "__main__":
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # its sockets are not Python's; asyncio's own are seen
    sys.addaudithook(refuse)
    cli(sys.argv[2:])
