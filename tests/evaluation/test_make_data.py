from __future__ import annotations

import numpy as np
from make_data import derive

from ec_agent import token_entropy


def test_each_distinct_rollout_is_kept_once(tmp_path):
    top = -np.arange(1, 41, dtype=np.float16).reshape(8, 5) / 8
    top[3:6] = top[:3]  # rollout 1 repeats rollout 0
    chosen = np.full(8, -0.5, dtype=np.float32)
    np.savez(
        tmp_path / "whole.npz",
        top=top,
        chosen=chosen,
        lens=np.array([3, 3, 1, 1]),
        callends=np.array(["[1, 3]", "[1, 3]", "[1]", "[1]"]),
        ok=np.array([[True, True], [False, True]]),
        answers=np.array([["a", "a"], ["b", "a"]]),
    )
    data = derive(tmp_path / "whole.npz")
    assert data["which"].tolist() == [[0, 0], [1, 2]]
    assert data["lens"].tolist() == [3, 1, 1]
    assert data["calls"].tolist() == [[1, 3], [1, -1], [1, -1]]
    assert data["answer"].tolist() == [[0, 0], [0, 1]]
    kept = [0, 1, 2, 6, 7]
    assert data["entropy"].tolist() == token_entropy(top[kept].astype(float)).astype(np.float32).tolist()
    assert data["confidence"].tolist() == (-top[kept].astype(float).mean(axis=1)).astype(np.float32).tolist()
    shares = [np.exp(row) / np.exp(row).sum() for row in top[kept].astype(float)]
    slow = [-sum(np.log(5 * share) for share in row) / 5 for row in shares]
    assert data["self_certainty"].tolist() == [float(np.float32(value)) for value in slow]
