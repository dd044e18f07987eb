"""An evaluation's numbers for readers: what was run, what may be concluded, and what may not.

``facts`` (the run) and ``content`` (the comparison, its notes and conclusions) make a ``Report``; ``terminal``,
``tables`` (JSON, CSV) and ``html`` with ``figures`` show it. ``wording`` has the sentences, so that all of them say the
same.
"""
