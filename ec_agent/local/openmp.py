"""Provides the OpenMP runtime ``libgomp`` on Linux systems that do not have it.

The Linux wheels of xllamacpp expect libgomp from the system, and a fresh Debian does not have it. Many wheels on the
package index contain a copy of libgomp under a changed name. We download one of those, change the name back to the one
that the loader looks for, and load it before xllamacpp.
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

# Any small wheel that contains libgomp would do. This one has 0.5 MB.
CARRIER = Pinned(
    "pykdtree==1.4.3",
    "44d2e1b6a3d02b5cf9646bf754931fdacb869cefd328242766e1dc0be909cca1",
    "pykdtree.libs/libgomp-870cb1d0.so.1.0.0",
    "4dae993cb6da9101fc2cfef827306dd03b892011d2e2789c8e44828ca9f2583c",
    ("--python-version=3.11", "--implementation=cp", "--platform=manylinux_2_17_x86_64"),
)


def load_openmp() -> None:
    """Load ``libgomp.so.1``: the system's, or a downloaded copy if the system has none. Linux only.

    Raises:
        LocalModelError: the system has none, and there is no copy for this kind of processor.
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
    """Load a copy of libgomp that was taken from a wheel, under the name that other libraries look for.

    Raises:
        LocalModelError: the copy cannot be loaded.
    """
    changed = library.name.encode() + b"\0"
    # The name stands in the file itself. The new one is filled up with zeros, so that no offset in the file moves.
    renamed = library.read_bytes().replace(changed, NAME.ljust(len(changed), b"\0"))
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(renamed)
        file.flush()
        try:
            ctypes.CDLL(file.name, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise LocalModelError(
                f"the downloaded OpenMP runtime cannot be loaded ({error}); run: apt install libgomp1"
            ) from error
