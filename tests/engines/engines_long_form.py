"""Real servers and gateways: installs, starts and checks each, one after another; `make engines` runs it.

    .venv/bin/python tests/engines/engines_long_form.py [--only NAME] [--cache FOLDER] [--write]

Prints a table, and what was wrong; the exit code is 1 if anything was. With --write, what was seen goes to
tests/engines/seen.json, from which tests/providers/matrix.py makes the table in docs/providers.md.
"""

# ruff: noqa: E402  # the folders that are imported from come first

from __future__ import annotations

import argparse
import datetime
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import doctor_by_hand
import engine_checks
import seen_servers as seen
from answer_tap import Tap
from engine_checks import Asking, Result
from real_servers import ENGINES, NOT_HERE, Engine, NotStartedError
from thinking_server import ThinkingServer


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", default="", help="engines whose name has this in it")
    arguments.add_argument("--cache", type=Path, default=ROOT / ".cache" / "engines", help="where they are installed")
    arguments.add_argument("--write", action="store_true", help="note what was seen, for the page")
    given = arguments.parse_args()
    wrong = 0
    for engine in ENGINES:
        if given.only.lower() in engine.name.lower():
            results = checked(engine, given.cache.resolve())
            wrong += sum(bool(result.wrong) for result in results)
            if given.write and results:
                seen.note(engine, results, datetime.date.today().isoformat())
    for name, reason in NOT_HERE.items():
        if not given.only:
            print(f"\n{name}: not run: {reason}")
    print(f"\n{wrong} wrong" if wrong else "\nall as their raw answers say")
    return 1 if wrong else 0


def checked(engine: Engine, cache: Path) -> list[Result]:
    """Install and start an engine, and check everything; each result is printed as it comes."""
    began, results = time.monotonic(), []
    print(f"\n{engine.name} {engine.version}", flush=True)
    try:
        folder = engine.install(cache)
        with ThinkingServer() as embedded, engine.running(folder, embedded.base_url) as running:
            print(f"  up after {time.monotonic() - began:.0f} s", flush=True)
            with Tap(running.url, running.headers) as tap:
                asking = Asking(tap, running.model, engine.max_tokens, engine.seconds, engine.reasoning)
                for check in (engine_checks.answers, engine_checks.agents, doctor_by_hand.lines):
                    for result in check(asking):
                        results.append(result)
                        print(f"  {result.check:36} {result.said}", flush=True)
                        if result.wrong:
                            print(f"  {'WRONG':36} {result.wrong}", flush=True)
    except NotStartedError as error:
        print(f"  not run: {error}")
    except Exception:
        traceback.print_exc()
        results.append(Result("the checks", "ended early", "an error of ours"))
    print(f"  {time.monotonic() - began:.0f} s")
    return results


if __name__ == "__main__":
    sys.exit(main())
