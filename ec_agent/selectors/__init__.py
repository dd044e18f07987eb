"""The selectors, which rank rollouts to choose a winner. Each file has one selector.

``SELECTORS`` maps names to selectors. You can write your own: any object with ``name``, ``signals`` and ``select``.
Derive from ``ScoreSelector`` to rank by one number per rollout, or from ``VoteSelector`` to count equal answers. No
selector can see whether a rollout was right, because a ``Candidate`` does not hold that.
"""

from ec_agent.selectors.actions import final_answer
from ec_agent.selectors.base import AnySelector, AsyncSelector, Candidate, Ranking, Selector
from ec_agent.selectors.centroid_weighted_vote import CentroidWeightedVote
from ec_agent.selectors.confidence_gradient import ConfidenceGradient
from ec_agent.selectors.confidence_weighted_vote import ConfidenceWeightedVote
from ec_agent.selectors.deepconf_bottom_window import DeepConfBottomWindow
from ec_agent.selectors.deepconf_lowest_group import DeepConfLowestGroup
from ec_agent.selectors.deepconf_mean import DeepConfMean
from ec_agent.selectors.deepconf_tail import DeepConfTail
from ec_agent.selectors.fewest_calls import FewestCalls
from ec_agent.selectors.longest import Longest
from ec_agent.selectors.lowest_centroid import LowestCentroid
from ec_agent.selectors.majority_vote import MajorityVote
from ec_agent.selectors.mean_entropy import MeanEntropy
from ec_agent.selectors.mean_logprob import MeanLogprob
from ec_agent.selectors.most_calls import MostCalls
from ec_agent.selectors.normalizers import (
    NORMALIZERS,
    CallAnswer,
    JsonAnswer,
    NumberAnswer,
    TextAnswer,
    normalizer_named,
)
from ec_agent.selectors.raw_centroid import RawCentroid
from ec_agent.selectors.registry import CONFOUNDS, SELECTORS, selector_named
from ec_agent.selectors.scoring import ScoreSelector
from ec_agent.selectors.self_certainty import SelfCertainty
from ec_agent.selectors.shortest import Shortest
from ec_agent.selectors.tail_entropy import TailEntropy
from ec_agent.selectors.tie_broken_vote import TieBrokenVote
from ec_agent.selectors.validity import validity
from ec_agent.selectors.voting import Ballot, VoteSelector, tally

__all__ = [
    "CONFOUNDS",
    "NORMALIZERS",
    "SELECTORS",
    "AnySelector",
    "AsyncSelector",
    "Ballot",
    "CallAnswer",
    "Candidate",
    "CentroidWeightedVote",
    "ConfidenceGradient",
    "ConfidenceWeightedVote",
    "DeepConfBottomWindow",
    "DeepConfLowestGroup",
    "DeepConfMean",
    "DeepConfTail",
    "FewestCalls",
    "JsonAnswer",
    "Longest",
    "LowestCentroid",
    "MajorityVote",
    "MeanEntropy",
    "MeanLogprob",
    "MostCalls",
    "NumberAnswer",
    "Ranking",
    "RawCentroid",
    "ScoreSelector",
    "Selector",
    "SelfCertainty",
    "Shortest",
    "TailEntropy",
    "TextAnswer",
    "TieBrokenVote",
    "VoteSelector",
    "final_answer",
    "normalizer_named",
    "selector_named",
    "tally",
    "validity",
]
