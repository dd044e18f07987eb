"""Plays events from a file under ``live.view()``, as fast as signs allow; a program that loads little.

``replay.py SCRIPT``: each line is an event, ``{"wait": "name"}`` for the sign of that name, ``{"give": "name"}``,
``{"print": "text"}``, or ``{"raise": "text"}``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from ec_agent import live


def main(script):
    folder = Path(script).parent
    with live.view() as on_event:
        for line in Path(script).read_text().splitlines():
            step = json.loads(line)
            if "wait" in step:
                until = time.monotonic() + 60
                while not (folder / step["wait"]).exists():
                    assert time.monotonic() < until, step
                    time.sleep(0.01)
            elif "give" in step:
                (folder / step["give"]).touch()
            elif "print" in step:
                print(step["print"])
            elif "raise" in step:
                raise RuntimeError(step["raise"])
            else:
                on_event({**step, "time": time.time()})
    print("done")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        print("interrupted")
        sys.exit(130)
