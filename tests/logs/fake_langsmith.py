"""LangSmith's API on 127.0.0.1, as far as its client needs it: runs are posted, changed, and asked for again.

The newer API is written to what the client's types say of it (langsmith 0.15.1).
"""

from __future__ import annotations

import json
from typing import Any

from served_here import Handler, Served

PROJECT = "00000000-0000-0000-0000-000000000001"
THE_PROJECT = {
    "id": PROJECT,
    "tenant_id": PROJECT,
    "name": "default",
    "start_time": "2026-11-30T00:00:00",
    "reference_dataset_id": None,
}


class FakeLangSmith(Served):
    """The server. ``runs`` has every run by its id, as the client sent it: posted, and then patched."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        super().__init__(_Handler)


class _Handler(Handler):
    of: FakeLangSmith

    def answer(self, body: bytes) -> None:
        given = json.loads(body or b"{}")
        given.pop("attachments", None)
        runs = self.of.runs
        if self.command == "GET":
            self.send_json([THE_PROJECT])
        elif self.path == "/runs/query":
            self.send_json({"runs": list(runs.values()), "cursors": {"next": None}})
        elif self.path == "/api/v2/runs/query":
            selected = {name.lower() for name in given.get("selects") or ["ID"]}
            self.send_json({"items": [_newer(run, selected) for run in runs.values()], "next_cursor": None})
        elif self.command == "PATCH":
            runs[self.path.rpartition("/")[2]] |= given
            self.send_json({})
        else:
            runs[given["id"]] = {"session_id": PROJECT, "app_path": "/x", **given}
            self.send_json({})


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
