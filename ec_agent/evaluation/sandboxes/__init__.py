"""Where code that a model has written is run: in a sandbox that this machine has, and nowhere else."""
