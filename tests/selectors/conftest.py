from __future__ import annotations

import sys
from pathlib import Path

# The timelines are drawn by the strategies of the numbers' room.
sys.path.append(str(Path(__file__).parents[1] / "numbers"))
