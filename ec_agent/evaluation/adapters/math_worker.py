"""Run as a program: reads ``[gold, answer]`` a line, and says for each whether math-verify finds them the same.

It is a process of its own because math-verify limits its time by signals, which only a main thread has, and because an
answer such as ``10^{10^{10}}`` has to be stopped from outside. It imports nothing of this package.
"""

from __future__ import annotations

import json
import logging
import sys

MOST_BYTES = 8 << 30


def same(gold: str, answer: str) -> bool:
    """Whether the last formula or number of an answer is the gold one."""
    from math_verify import parse, verify

    return bool(verify(parse(f"\\boxed{{{gold}}}"), parse(answer)))


def serve() -> None:
    """Answer every line with ``true`` or ``false``; ``true`` comes once before, when it is ready."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    except (ImportError, OSError, ValueError):  # not on Windows; not above a limit that is there
        pass
    logging.disable(logging.CRITICAL)
    print(json.dumps(same("1", "\\boxed{1}")), flush=True)
    for line in sys.stdin:
        try:
            found = same(*json.loads(line))
        except Exception:  # whatever SymPy raises at an answer that it cannot work out
            found = False
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    serve()
