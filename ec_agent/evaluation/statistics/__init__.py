"""From stored rollouts to numbers with intervals. No model is called; selectors never see an outcome.

``standing`` (what a selector makes of a task) -> ``fewer_rollouts``, ``auroc``, ``score_bins``, ``confounds``
-> ``summary``; ``plan_replays`` -> ``plan_comparison`` for stopping plans. ``bootstrap`` has the intervals and
p-values, ``conclusion`` the words. SciPy is imported when the first interval is drawn.
"""

from ec_agent.evaluation.statistics.bootstrap import Estimate, Resampling
from ec_agent.evaluation.statistics.conclusion import Conclusion
from ec_agent.evaluation.statistics.summary import SelectorSummary, Summary, summarise

__all__ = ["Conclusion", "Estimate", "Resampling", "SelectorSummary", "Summary", "summarise"]
