"""How likely the winner is right: what a choice shows, and a calibration that turns it into a probability.

``evidence`` reads a choice, in a run as in a replay of stored rollouts; ``fitted`` holds what
``ec-agent calibrate --probability`` fitted, and applies it with NumPy alone; ``situation`` says when it must not be
applied. Fitting is in ``ec_agent.evaluation``, because it needs verdicts.
"""

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
