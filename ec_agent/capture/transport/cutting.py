"""Cuts the logprobs out of the bytes of a chat completion, without a decoder that visits all of them.

A decoder has to visit all bytes to find where the logprobs end, once for each object around them. So the end is looked
for from the last token on. A wrong place does no harm: what was cut out must be decoded whole, and a JSON object has
only one end.
"""

from __future__ import annotations

import re

_KEY = b'"logprobs"'
_BEGINNING = re.compile(rb'"logprobs"\s*:\s*(?=\{\s*"content"\s*:\s*\[)')
_LAST = b'"top_logprobs"'
_PARTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|([\]}])', re.DOTALL)
_WITHIN = 3  # an entry is in a list, the list in the logprobs


def cut_out(body: bytes) -> tuple[bytes, bytes] | None:
    """Cut the object under the key ``logprobs`` out of JSON, if it begins with ``content``.

    Args:
        body: JSON.

    Returns:
        The JSON with ``null`` in its place, and what was cut out, whose end may be wrong. ``None`` if there is not one
        key with such an object, or its last entry has no candidates.
    """
    key = body.find(_KEY)
    beginning = _BEGINNING.match(body, key) if key >= 0 else None
    last = body.rfind(_LAST)
    if beginning is None or last < beginning.end() or body.find(_KEY, beginning.end()) >= 0:
        return None
    depth = _WITHIN
    for part in _PARTS.finditer(body, last):
        depth += (part.lastindex == 1) - (part.lastindex == 2)
        if not depth:
            return body[: beginning.end()] + b"null" + body[part.end() :], body[beginning.end() : part.end()]
    return None
