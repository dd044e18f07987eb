"""Several evaluations from one file: families of tasks, each with each of some models, and one page over all."""
