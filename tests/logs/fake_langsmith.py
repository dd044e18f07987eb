"""LangSmith's API on 127.0.0.1, as far as its client needs it: runs are posted, changed, and asked for again.

The newer API is written to what the client's types say of it (langsmith 0.15.1).
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = "00000000-0000-0000-0000-000000000001"


class FakeLangSmith:
    """The server. ``runs`` has every run by its id, as the client sent it: posted, and then patched."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        fake = self

        class Handler(_Handler):
            of = fake

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    of: FakeLangSmith

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> dict[str, Any]:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def do_GET(self) -> None:
        self._send(
            [
                {
                    "id": PROJECT,
                    "tenant_id": PROJECT,
                    "name": "default",
                    "start_time": "2026-11-30T00:00:00",
                    "reference_dataset_id": None,
                }
            ]
        )

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/runs/query":
            self._send({"runs": list(self.of.runs.values()), "cursors": {"next": None}})
            return
        if self.path == "/api/v2/runs/query":
            selected = {name.lower() for name in body.get("selects") or ["ID"]}
            self._send({"items": [_newer(run, selected) for run in self.of.runs.values()], "next_cursor": None})
            return
        body.pop("attachments", None)
        self.of.runs[body["id"]] = {"session_id": PROJECT, "app_path": "/x", **body}
        self._send({})

    def do_PATCH(self) -> None:
        self.of.runs[self.path.rpartition("/")[2]] |= {
            name: value for name, value in self._body().items() if name != "attachments"
        }
        self._send({})

    def _send(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _newer(run: dict[str, Any], selected: set[str]) -> dict[str, Any]:
    """A run as the newer API tells it: words in upper case, and the selected fields alone."""
    status = "ERROR" if run.get("error") else "SUCCESS" if run.get("outputs") else "PENDING"
    whole = {
        **run,
        "run_type": run["run_type"].upper(),
        "status": status,
        "project_id": run["session_id"],
        "metadata": (run.get("extra") or {}).get("metadata"),
        "is_root": not run.get("parent_run_id"),
    }
    return {name: value for name, value in whole.items() if name in selected}
