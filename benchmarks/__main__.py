"""``python -m benchmarks [ROW ...]``: run rows, print them, keep them in benchmarks/results.json."""

from __future__ import annotations

import argparse
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from benchmarks import rows
from benchmarks.harness import Case, Result, run
from benchmarks.machine import machine_facts
from benchmarks.report import lines, write_json, write_tables

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PAGES = {"costs": DOCS / "speed.md", "bench": DOCS / "benchmarks.md"}


def main() -> None:
    """Run the named rows, or all of them."""
    found = sorted(module.name for module in pkgutil.iter_modules(rows.__path__))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios, see docs/benchmarks.md.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(found)}; left out: all")
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="where the numbers are kept")
    parser.add_argument(
        "--docs", action="store_true", help="write the tables into docs/speed.md and docs/benchmarks.md"
    )
    wanted = parser.parse_args()
    unknown = set(wanted.rows) - set(found)
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    machine = machine_facts()
    print("; ".join(f"{name} {fact}" for name, fact in machine.items()), flush=True)
    results: list[Result] = []
    for name in wanted.rows or found:
        for case in _cases(name):
            results.append(run(case))
            print("\n".join(lines(results[-1])), flush=True)
            write_json(wanted.json, machine, results)
    if wanted.docs:
        for name, page in PAGES.items():
            write_tables(page, wanted.json, [name])


def _cases(name: str) -> Iterator[Case]:
    yield from import_module(f"benchmarks.rows.{name}").cases()


if __name__ == "__main__":
    main()
