"""Scores rollouts in bulk, from lists in Arrow and Parquet: one row a rollout, however many there are.

    scores = score_lists(pq.read_table("tables/timelines", columns=["entropy"])["entropy"])

lists           the function that scores Arrow lists; it is pure, so any engine can run it
arrow_numbers   numbers from Arrow arrays and back, by their buffers
parquet_lists   a Parquet file with lists, read in parts, and checked
sweeping        scores Parquet files in several processes, one file of results for each

All of it needs pyarrow. Names are imported when they are first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
