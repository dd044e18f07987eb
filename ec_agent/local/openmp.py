"""The OpenMP runtime that xllamacpp's Linux wheels expect from the system, where the system has none.

A fresh Debian lacks ``libgomp1``. Many wheels carry a copy of it under a name of their own; we take one of those,
give it back the name the loader looks for, and load it before xllamacpp.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import tempfile
from pathlib import Path

from ec_agent.errors import LocalModelError
from ec_agent.local.fetch import Pinned, fetch

NAME = b"libgomp.so.1"

# Any small wheel that carries libgomp would do; this one is 0.5 MB.
CARRIER = Pinned(
    "pykdtree==1.4.3",
    "44d2e1b6a3d02b5cf9646bf754931fdacb869cefd328242766e1dc0be909cca1",
    "pykdtree.libs/libgomp-870cb1d0.so.1.0.0",
    "4dae993cb6da9101fc2cfef827306dd03b892011d2e2789c8e44828ca9f2583c",
    ("--python-version=3.11", "--implementation=cp", "--platform=manylinux_2_17_x86_64"),
)


def load_openmp() -> None:
    """Make sure ``libgomp.so.1`` is loaded or loadable; does nothing where the system has it.

    Raises:
        LocalModelError: the system has none, and there is none to fetch for this kind of machine.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(NAME.decode(), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        if platform.machine() != "x86_64":
            raise LocalModelError(
                f"llama.cpp needs the system's OpenMP runtime ({error}); run: apt install libgomp1"
            ) from error
        load_carried(fetch(CARRIER))


def load_carried(library: Path) -> None:
    """Load a wheel's copy of libgomp under the name that other libraries ask for.

    Raises:
        LocalModelError: the copy cannot be loaded.
    """
    own = library.name.encode() + b"\0"
    renamed = library.read_bytes().replace(own, NAME.ljust(len(own), b"\0"))
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(renamed)
        file.flush()
        try:
            ctypes.CDLL(file.name, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise LocalModelError(
                f"the fetched OpenMP runtime cannot be loaded ({error}); run: apt install libgomp1"
            ) from error
