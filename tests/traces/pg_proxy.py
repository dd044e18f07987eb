"""Stands between a client and PostgreSQL in the tests: cuts connections at chosen moments, and refuses new ones."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit


class Proxy:
    """Hands bytes on between a unix socket of its own and the server's.

    Attributes:
        url: the URL of a store through the proxy.
        cut_before: a piece of what a client sends: with it in sight, nothing of that is handed on, and all is cut.
        cut_after: the same, but the server is given it, and has answered, before all is cut.
        times: how often these cut.
        away: whether new connections are refused.
    """

    def __init__(self, folder: Path, server: str, schema: str) -> None:
        self._server = Path(parse_qs(urlsplit(server).query)["host"][0]) / ".s.PGSQL.5432"
        self.url = f"postgresql://postgres@/postgres?host={quote(str(folder), safe='')}&port=5432&schema={schema}"
        self.cut_before = self.cut_after = b"\0nothing"
        self.times, self.away, self.cuts = 0, False, 0
        self._open: list[socket.socket] = []
        self._mute: set[socket.socket] = set()
        self._answered = threading.Event()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / ".s.PGSQL.5432"))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections now."""
        self.cuts += 1
        self._mute.clear()
        self._answered.clear()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self.away = True
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.away:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            self._open += [client, server]
            threading.Thread(target=self._hand_on, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._hand_on, args=(server, client, False), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(1 << 16):
                if asks and self.times and self.cut_before in part:
                    self.times -= 1
                    self.cut()
                    return
                if asks and self.times and self.cut_after in part:
                    self.times -= 1
                    self._mute.add(target)
                    target.sendall(part)
                    self._answered.wait(0.5)
                    self.cut()
                    return
                if source in self._mute:  # its answer, which the client never gets
                    self._answered.set()
                    return
                target.sendall(part)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
