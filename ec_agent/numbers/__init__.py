"""The method: from logprobs to entropies, phases, centroids and timelines. NumPy only."""
