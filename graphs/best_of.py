"""The ready agent, wrapped: the same input and output, answered by the best of eight rollouts."""

from __future__ import annotations

from ec_agent import best_of_n
from graphs.agent import agent as one_rollout

agent = best_of_n(one_rollout, n=8, sampling=lambda index: {"seed": index}).as_agent()
