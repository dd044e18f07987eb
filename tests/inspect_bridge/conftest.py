"""Two environments share this room: the bridge's own tests run where Inspect AI is installed, and there alone.

``test_bridge_environment.py`` is for the other one: it starts them there, so nothing is left out.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
RUNNER = "test_bridge_environment.py"

# The neighbours' helpers, wherever pytest was started.
sys.path.extend(str(HERE.parent / room) for room in ("", ".."))

if find_spec("inspect_ai") is None:
    collect_ignore = [path.name for path in HERE.glob("test_*.py") if path.name != RUNNER]
else:
    collect_ignore = [RUNNER]
