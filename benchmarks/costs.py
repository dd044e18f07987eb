"""What a user pays, and where the measured amounts of it are: the first table of docs/speed.md."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """One measured amount.

    Attributes:
        row: the name of its row in ``benchmarks/results.json``.
        arm: which of the row's ways it is of.
        words: what is said of it: ``{0}`` is the amount, ``{1}`` that of one token.
    """

    row: str
    arm: str = "ours"
    words: str = "{0}"


_AGENTS = "fan-out of 8, agents of 3 calls and 2 tools"
COSTS = {
    "score an answer of 2,000 tokens with 20 candidates each, as dictionaries": [
        Figure("dictionaries to centroid, 2k tokens", words="{0}, {1} a token")
    ],
    "the same as JSON text, decoding included (`pip install '.[fast]'`)": [Figure("JSON bytes to centroid, 2k tokens")],
    "the same as a NumPy matrix of logprobs": [Figure("(T, k) matrix to centroid, 2k tokens")],
    "the centroid alone, of 2,000 entropies; of 32,000": [
        Figure("entropies to centroid, 2k tokens"),
        Figure("entropies to centroid, 32k tokens"),
    ],
    "all 27 settings of the phases, over 1,000 rollouts of 2,000 tokens": [
        Figure("27 settings over 1,000 trajectories of 2k tokens")
    ],
    "load and score again 2 million stored tokens": [Figure("load and rescore 2M stored tokens")],
    "memory that a kept token takes": [
        Figure("retained memory per token"),
        Figure("retained memory per token", "dictionaries", "as dictionaries {0}"),
    ],
    "`import ec_agent`": [Figure("start-up", "import ec_agent")],
    "`best_of_n` with 8 rollouts of 3 calls and 2 tools each, a model that answers at once": [
        Figure(_AGENTS, "best_of_n"),
        Figure(_AGENTS, "gather", "the bare agents in `asyncio.gather` take {0}"),
    ],
}
