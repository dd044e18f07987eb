"""Selectors that ask a model which rollout is right or better. Each file with a selector has one.

    best_of_n(agent, n=8, selector=PTrue(ChatOpenAI(model="gpt-4o-mini")))

Both ask for one short answer at temperature 0 and read the probabilities of its first token. Their calls are billed
apart (``Selection.selector_usage``) and belong to no rollout. Names are imported when they are first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
