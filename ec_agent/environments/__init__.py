"""Environments: a copy of the world for each rollout, so that its tools change neither the real one nor another's."""
