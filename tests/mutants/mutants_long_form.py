"""Run the short form of the suite with each mutant, and say which of them it does not see: ``make mutants``.

``mutants_long_form.py [--near] [NUMBER ...]`` tries the mutants of these numbers alone; ``--near`` with the tests
beside the mutant's place alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from the_mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
MAY_LIVE = 2
NEVER_COPIED = shutil.ignore_patterns(".git", ".venv*", "site", "build", "*.egg-info", "__pycache__", ".*_cache")


def main() -> int:
    """Try the mutants; return 1 if more than ``MAY_LIVE`` live."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--near", action="store_true")
    parser.add_argument("numbers", nargs="*", type=int)
    args = parser.parse_args()
    numbers = args.numbers or range(len(MUTANTS))
    living = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=NEVER_COPIED)
        (copy / ".venv-inspect").symlink_to(ROOT / ".venv-inspect")
        for number in numbers:
            mutant = MUTANTS[number]
            said = "killed" if killed(mutant, copy, near=args.near) else "LIVES"
            living += [number] if said == "LIVES" else []
            print(f"{number:2} {said:6} {mutant.file}: {mutant.old!r} -> {mutant.new!r}", flush=True)
    print(f"{len(numbers) - len(living)} of {len(numbers)} killed")
    return int(len(living) > MAY_LIVE)


def killed(mutant: Mutant, copy: Path, *, near: bool) -> bool:
    """Tell whether a test fails with the mutant: first those near it, then all."""
    module = copy / "ec_agent" / mutant.file
    right = module.read_text()
    module.write_text(right.replace(mutant.old, mutant.new))
    try:
        return fails(copy, *near_tests(mutant, copy)) or (not near and fails(copy))
    finally:
        module.write_text(right)


def near_tests(mutant: Mutant, root: Path) -> list[str]:
    """The files and folders of tests that look at the mutant's place, each once."""
    found = (path for pattern in mutant.near.split() for path in sorted((root / "tests").glob(pattern)))
    return list(dict.fromkeys(str(path.relative_to(root)) for path in found))


def fails(copy: Path, *tests: str) -> bool:
    """Tell whether a test of the short form fails."""
    asked = ["-x", "-q", "-n", "2", "--form=short", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *asked],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1, 2):  # 2: the mutant cannot be imported, or -x stopped the workers
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
