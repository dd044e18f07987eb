"""How to add an extra of this package: by the place that it was installed from, for it may be on no package index."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = "ec-agent"


def installing(requirement: str) -> str:
    """Return the command that installs a requirement.

    Args:
        requirement: another package, or an extra of this one, such as ``ec-agent[eval]``. The extra is named at the
            place that pip noted for this package: ``pip install -e '/home/me/clone[eval]'``.
    """
    name, bracket, extra = requirement.partition("[")
    if name != NAME:
        return f"pip install {shlex.quote(requirement)}"
    came = _came_from()
    url = str(came.get("url", ""))
    if "vcs_info" in came:
        requirement = f"{requirement} @ {came['vcs_info'].get('vcs')}+{url}"
    elif url.startswith("file:"):
        place = Path(unquote(urlsplit(url).path))
        if not place.exists():
            return f"pip install '.{bracket}{extra}' in a clone of its repository"
        editable = "-e " if came.get("dir_info", {}).get("editable") else ""
        return f"pip install {editable}{shlex.quote(f'{place}{bracket}{extra}')}"
    elif url:
        requirement = f"{requirement} @ {url}"
    return f"pip install {shlex.quote(requirement)}"


def _came_from() -> dict[str, Any]:
    """What pip or uv noted when it installed this package from elsewhere than an index; empty otherwise."""
    from importlib.metadata import PackageNotFoundError, distribution  # it takes long, and is for errors alone

    try:
        noted = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}
