"""Finished rollouts and selections, in one SQLite file; and logs of others that can be scored.

``store`` opens the file, writes and reads; ``rows`` is what it holds; ``schema`` is its tables, ``migrations`` how
those of older versions become them; ``actions`` makes final actions plain; ``recorded`` takes selections in.
"""
