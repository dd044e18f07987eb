"""How a winner is chosen: one selector per file."""

from ec_agent.selectors.base import Candidate, Ranking, Selector
from ec_agent.selectors.lowest_centroid import LowestCentroid

__all__ = ["Candidate", "LowestCentroid", "Ranking", "Selector"]
