"""What the authors of the method report, as far as this project has read it, and no more (docs/paper.md)."""

from __future__ import annotations

from typing import Final

PAPER: Final = "arXiv 2604.26173"
MEAN_GAIN: Final = 0.053
"""Lowest Centroid minus Pass@1, on average over models and benchmarks."""
MOST_GAIN: Final = 0.101
"""The same, at most."""
FAMILIES: Final = ("aime2025", "minerva", "bigcodebench", "livecodebench", "synlogic", "tau2")
"""Their six benchmarks, by the names of our task sources."""
SETTING: Final = (
    "N = 4 to 64 rollouts, temperature 0.7 to 1.0, top-p 0.95, the 10 likeliest tokens a place (20 for agents), models "
    "of 14 to 480 billion parameters"
)
BEFORE: Final = "greedy decoding, Self-Certainty, and DeepConf's confidence of the tail and of the bottom window"
"""What they find Lowest Centroid ahead of."""
