"""Best-of-N for LangGraph agents without a reward model: select rollouts by their entropy centroid.

Names are imported when they are first used, so ``import ec_agent`` loads neither LangGraph nor LangChain, and
the numbers alone need NumPy only.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__version__ = "0.1.0"

# The names, and the modules that they are in, are listed in __init__.pyi.
__getattr__, __dir__, __all__ = lazy_names(__name__, __file__, needing=("ec_agent.capture.",))
