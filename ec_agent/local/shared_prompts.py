"""Processes a prompt once for several slots of a llama.cpp server.

Each slot caches the prompts that it processed, for its own later requests. Requests with the same prompt that run at
the same time in several slots would process it several times. So one slot processes it, and the cache is copied to the
other slots through a file, which takes milliseconds.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
import uuid
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

_PAUSE = 0.02  # seconds between two questions whether it answers
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach a server on this machine


class PromptSpreader:
    """Lets a server process a prompt once, and copies the result to all idle slots.

    Args:
        root: address of the server, without ``/v1``.
        folder: the folder where the server saves slots.
    """

    def __init__(self, root: str, folder: Path) -> None:
        self._root, self._folder = root, folder
        self._lock = threading.Lock()

    def await_answer(self, timeout: float) -> None:
        """Wait until the server's loop answers. Nothing is raised: whoever asks it next meets what is wrong.

        Its threads for HTTP begin before its loop, and answer what needs no loop, such as ``health``.
        """
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            with suppress(OSError, HTTPException, ValueError):
                self._ask("slots", None, timeout)
                return
            time.sleep(_PAUSE)

    def spread(self, request: Mapping[str, Any], timeout: float) -> None:
        """Process the prompt of a request once, and cache it in all idle slots.

        Nothing is raised: if it fails, each slot processes the prompt itself, which only takes longer.

        Args:
            request: the JSON of a chat completion.
            timeout: seconds for each request to the server.
        """
        with self._lock, suppress(OSError, HTTPException, ValueError, LookupError, TypeError):
            slots = [slot for slot in self._ask("slots", None, timeout) if not slot["is_processing"]]
            if len(slots) < 2:
                return
            # The slot with the longest cached prompt is used: it may have cached the beginning of this one.
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
