"""How fast the package is, as ratios: ``make bench``. What each row means is in docs/benchmarks.md.

To add a row, put a module into ``benchmarks/rows/`` with a function ``cases()`` that yields
:class:`~benchmarks.harness.Case` objects; it is found by its name. Prepare data inside ``cases()``, not at import.
"""
