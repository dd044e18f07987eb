"""From stored rollouts to numbers with intervals. No model is called; selectors never see an outcome.

``standing`` (what a selector makes of a task) -> ``subsampling``, ``auroc``, ``calibration``, ``confounds`` ->
``summary``; ``replays`` -> ``stopping`` for stopping plans. ``bootstrap`` has the intervals and p-values, ``verdict``
the words. SciPy is imported when the first interval is drawn.
"""

from ec_agent.evaluation.statistics.bootstrap import Estimate, Resampling
from ec_agent.evaluation.statistics.summary import SelectorSummary, Summary, summarise
from ec_agent.evaluation.statistics.verdict import Conclusion

__all__ = ["Conclusion", "Estimate", "Resampling", "SelectorSummary", "Summary", "summarise"]
