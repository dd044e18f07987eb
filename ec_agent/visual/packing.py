"""The tokens of a rollout for the page: small, and unpacked by the browser when somebody looks."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np

from ec_agent.support.escaping import all_shown, shown
from ec_agent.visual.views import Rollout

MOST_ROWS = 40_000
"""Of tokens whose candidates go with a rollout: those where it hesitated most."""


def packed(rollout: Rollout, most_rows: int = MOST_ROWS) -> str:
    """Texts, signal and candidates of each token: JSON, deflated, in base64.

    The JSON object has ``values``, in thousandths of a nat, ``null`` where there is none; ``texts``, or ``null`` where
    they were not kept; ``candidates``, place of the token -> text and thousandths of probability of each; and
    ``all``, whether that is all of the candidates that were kept.
    """
    rows, complete = _candidates(rollout, most_rows)
    content: dict[str, Any] = {
        "values": [None if np.isnan(value) else round(value * 1000) for value in rollout.signal.tolist()],
        "texts": _texts(rollout),
        "candidates": rows,
        "all": complete,
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True)
    return base64.b64encode(zlib.compress(text.encode("ascii"), 6)).decode("ascii")


def _texts(rollout: Rollout) -> list[str] | None:
    if not any(call.texts for call in rollout.calls):
        return None
    found: list[str] = []
    for call in rollout.calls:
        tokens = call.tokens or 0
        known = all_shown((call.texts or ())[:tokens])
        found += known + [""] * (tokens - len(known))
    return found


def _candidates(rollout: Rollout, most: int) -> tuple[dict[int, list[list[Any]]], bool]:
    kept = {}
    for start, call in zip(rollout.starts, rollout.calls, strict=False):
        kept.update({start + at: row for at, row in enumerate(call.candidates or ()) if row})
    chosen = sorted(kept, key=lambda at: -np.nan_to_num(rollout.signal[at]))[:most]
    rows = {at: [[shown(text), round(share * 1000)] for text, share in kept[at]] for at in sorted(chosen)}
    return rows, len(chosen) == len(kept)
