"""Finished rollouts of an evaluation, in one SQLite file.

``store`` opens the file, writes and reads; ``schema`` is its tables; ``actions`` makes final actions plain.
"""
