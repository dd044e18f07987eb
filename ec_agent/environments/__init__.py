"""Worlds that rollouts can act in without touching each other's or the real one."""
