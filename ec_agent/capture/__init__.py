"""Records the LLM calls of a rollout, and reads their logprobs."""
