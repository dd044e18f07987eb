"""The rows: each module has ``cases()``, which yields the comparisons of one path."""
