"""Hearing the LLM calls of a rollout, and reading their logprobs."""
