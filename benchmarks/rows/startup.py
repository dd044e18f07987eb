"""``import ec_agent`` against ``import numpy``."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.harness import Case, at_most, value


def cases() -> Iterator[Case]:
    """The bare import, and the numbers with it."""
    yield Case(
        "start-up",
        {
            "import ec_agent": partial(_started, "import ec_agent"),
            "the numbers": partial(_started, "from ec_agent import entropy_centroid, token_entropy, Trajectory"),
            "import numpy": partial(_started, "import numpy"),
        },
        [at_most("import ec_agent", "import numpy", 3), at_most("the numbers", "import numpy", 3)],
        gauge=value,
    )


def _started(line: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", line], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
