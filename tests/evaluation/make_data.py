"""Derive ``data/*.npz`` from whole rollout files: ``python make_data.py red2.npz bfcl.npz``.

The whole files hold the top-20 logprobs of every token (float16). The table needs four numbers a token only, and
many rollouts of one task are identical, so each distinct one is kept once. Per distinct rollout ``r``: ``lens[r]``
tokens and, concatenated, their ``entropy`` (nats), ``confidence`` (DeepConf's, minus the mean of the 20), ``logprob``
(of the sampled token) and ``self_certainty`` (the log of the sum of the 20 probabilities, plus the confidence, minus
ln 20), float32; ``calls[r]``, the cumulative token counts at call ends, padded with -1.
Per rollout ``(task, index)``: ``which`` distinct rollout it is, ``ok``, and ``answer``, a number for each distinct
final action of its task.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from ec_agent.numbers.entropy import token_entropy

DATA = Path(__file__).parent / "data"


def derive(source: Path) -> dict[str, np.ndarray]:
    whole = np.load(source)
    top = whole["top"].astype(np.float64)
    signals = {
        "entropy": token_entropy(top).astype(np.float32),
        "confidence": (-top.mean(axis=1)).astype(np.float32),
        "logprob": whole["chosen"],
        "self_certainty": _self_certainty(top).astype(np.float32),
    }
    bounds = np.cumsum(whole["lens"])[:-1]
    parts = {name: np.split(values, bounds) for name, values in signals.items()}
    seen: dict[tuple[bytes | str, ...], int] = {}
    which, first = [], []
    for place, ends in enumerate(whole["callends"]):
        key = (*(parts[name][place].tobytes() for name in signals), str(ends))
        if key not in seen:
            first.append(place)
        which.append(seen.setdefault(key, len(seen)))
    calls = [json.loads(str(whole["callends"][place])) for place in first]
    most = max(map(len, calls))
    return {
        **{name: np.concatenate([parts[name][place] for place in first]) for name in signals},
        "lens": whole["lens"][first].astype(np.int16),
        "calls": np.array([ends + [-1] * (most - len(ends)) for ends in calls], dtype=np.int16),
        "which": np.array(which, dtype=np.int16).reshape(whole["ok"].shape),
        "ok": whole["ok"],
        "answer": np.array([_numbered(row) for row in whole["answers"]], dtype=np.int8),
    }


def _self_certainty(top: np.ndarray) -> np.ndarray:
    return np.log(np.exp(top).sum(axis=1)) - top.mean(axis=1) - np.log(top.shape[1])


def _numbered(answers: np.ndarray) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(str(answer), len(numbers)) for answer in answers]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        np.savez_compressed(DATA / Path(argument).name, **derive(Path(argument)))
