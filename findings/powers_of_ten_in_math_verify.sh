#!/usr/bin/env bash
# Guess: math-verify, which compares a model's answer with the right one, reads 4.5e33 as the number 4.5 * 10^33.
# So it is: in \boxed{} it is LaTeX, where e is Euler's number: 4.5 * e * 33; in a sentence it is 4.5, and the rest is
#   not read. So in silence a right answer counts as wrong, and a wrong one as right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  math-verify==0.9.0 \
  latex2sympy2_extended==1.11.0 \
  antlr4-python3-runtime==4.13.2 \
  sympy==1.14.0
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import sys
from importlib.metadata import version

print("Version:", ", ".join(f"{name} {version(name)}" for name in ("math-verify", "latex2sympy2_extended", "sympy")))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


from math_verify import parse, verify

right, other = parse(r"\boxed{4.5 \times 10^{33}}"), parse(r"\boxed{4.5}")
box, plain, power = (parse(text) for text in (r"\boxed{4.5e33}", "It is 4.5e33.", r"\boxed{45 \times 10^{32}}"))
seen(r"\boxed{4.5e33}, as a number", float(box[0]), is_now=403 < float(box[0]) < 404)
seen("is it 4.5 * 10^33", verify(right, box), is_now=not verify(right, box))
seen(r"is \boxed{45 \times 10^{32}}", verify(right, power), is_now=verify(right, power))
seen('"It is 4.5e33.", as a number', float(plain[0]), is_now=float(plain[0]) == 4.5)
seen("is it 4.5 * 10^33", verify(right, plain), is_now=not verify(right, plain))
seen("is it 4.5", verify(other, plain), is_now=verify(other, plain))
PYTHON
