"""An evaluation's numbers for readers: what was run, what may be concluded, and what may not.

``run_facts`` (the run) and ``content`` (the comparison, its notes and conclusions) make a ``Report``; ``terminal``,
``json_csv`` and ``html`` with ``figures`` show it. ``stopping_rows`` and ``stopping_shown`` are about stopping plans,
``certainty_rows`` and ``certainty_shown`` about probabilities, ``greedy_shown`` about the greedy rollout among the n.
``columns`` has the tables' columns and ``wording`` the sentences, so that all of them say the same.
"""
