"""A sweep in a process of its own, all of whose files but the first are held when half of them is written.

    python sweep_child.py FOLDER WORKERS

Worker processes import this module, too. Each that is held makes a file ``held-ID``, with its process's id.
"""

from __future__ import annotations

import os
import sys
import time

from ec_agent.bulk import parquet_lists
from ec_agent.cli import main

parquet_lists.PART = 10
parquet_lists._GROUP_ROWS = 1
scored = parquet_lists.ListFile.scored


def held(file):
    for number, scores in enumerate(scored(file)):
        if number > 2 and file.path.name != "part-0.parquet":
            (file.path.parents[1] / f"held-{os.getpid()}").touch()
            time.sleep(600)
        yield scores


parquet_lists.ListFile.scored = held

if __name__ == "__main__":
    sys.argv = ["ec-agent", "score", "--sweep", sys.argv[1], "--workers", sys.argv[2]]
    main()
