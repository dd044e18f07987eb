"""One prompt for several slots of a llama.cpp server.

Each slot keeps what it has read, for requests that come to it afterwards. A request in another slot at the same time
reads the same prompt again, as llama.cpp copies nothing from a slot that is at work. It can save what a slot holds to a
file and load that into others, which takes milliseconds.
"""

from __future__ import annotations

import json
import threading
import urllib.request
import uuid
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy can reach this machine


class PromptSpreader:
    """Reads a prompt once, and gives it to every slot that has nothing to do.

    Args:
        root: the server's address, without ``/v1``.
        folder: where the server saves slots.
    """

    def __init__(self, root: str, folder: Path) -> None:
        self._root, self._folder = root, folder
        self._lock = threading.Lock()

    def spread(self, request: Mapping[str, Any], timeout: float) -> None:
        """Have the request's prompt read and kept in all idle slots. Nothing is raised: what fails is only slower.

        Args:
            request: the JSON of a chat completion.
            timeout: seconds, for each thing that the server is asked for.
        """
        with self._lock, suppress(OSError, HTTPException, ValueError, LookupError, TypeError):
            slots = [slot for slot in self._ask("slots", None, timeout) if not slot["is_processing"]]
            if len(slots) < 2:
                return
            # The longest one may have the beginning of this prompt: instructions and tools.
            reader = max(slots, key=lambda slot: slot.get("n_prompt_tokens") or 0)["id"]
            reading = {**request, "max_tokens": 0, "n": 1, "id_slot": reader, "stream": False, "logprobs": False}
            reading.pop("top_logprobs", None)
            self._ask("v1/chat/completions", reading, timeout)
            file = {"filename": f"{uuid.uuid4().hex}.bin"}
            try:
                self._ask(f"slots/{reader}?action=save", file, timeout)
                for slot in slots:
                    if slot["id"] != reader:
                        self._ask(f"slots/{slot['id']}?action=restore", file, timeout)
            finally:
                (self._folder / file["filename"]).unlink(missing_ok=True)

    def _ask(self, what: str, body: Mapping[str, Any] | None, timeout: float) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self._root}/{what}", data, {"Content-Type": "application/json"})
        with _direct.open(asked, timeout=timeout) as answer:
            return json.load(answer)
