"""One file per use; each runs on the embedded model: ``python -m examples.NAME``."""
