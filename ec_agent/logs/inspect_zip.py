"""Unpacks the logs of Inspect, ``.eval``: ZIP archives, with one JSON file for each sample, packed with Zstandard."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from typing import Any

from ec_agent.logs.bounds import BoundError, Bounds
from ec_agent.logs.source import Source, Trouble

if sys.version_info >= (3, 14):
    import zipfile

    from compression import zstd
else:  # Inspect compresses with Zstandard, which the standard library of older Pythons lacks
    from backports import zstd
    from backports.zstd import zipfile

# These mean that the file is damaged, encrypted, or packed in an unknown way.
_NOT_UNPACKED = (zipfile.BadZipFile, RuntimeError, EOFError, OSError, zlib.error, zstd.ZstdError)
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_ZSTANDARD)
# Bytes of the packed file that are unpacked at a time. If all were unpacked at once, a hostile file could fill the
# memory before zipfile compares the size with the one that the file claims.
_PIECE = 4096


def samples_of(source: Source, trouble: Trouble) -> Iterator[tuple[str, Any]]:
    """Yield the samples of an ``.eval`` file, which is a ZIP archive with one JSON file per sample."""
    try:
        with zipfile.ZipFile(source.path) as archive:
            for name in archive.namelist():
                if name.startswith("samples/") and name.endswith(".json"):
                    where = f"{source.label}, {name}"
                    try:
                        sample = source.bounds.parsed(_unpacked(archive, name, source.bounds))
                    except BoundError as error:
                        trouble(where, str(error))
                    except (ValueError, RecursionError) as error:
                        trouble(where, f"is not JSON ({error})")
                    except _NOT_UNPACKED as error:
                        trouble(where, f"cannot be unpacked ({error})")
                    else:
                        yield where, sample
                    source.advance(archive.getinfo(name).compress_size)
    except _NOT_UNPACKED as error:
        trouble(source.label, f"is not a complete .eval file ({error}); check that its run has ended")


def _unpacked(archive: Any, name: str, bounds: Bounds) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type not in _PACKED:
        raise zipfile.BadZipFile("no log of Inspect is packed in this way; pack it again with deflate or Zstandard")
    bounds.check_size(info.file_size, info.compress_size)
    with archive.open(info) as packed:  # zipfile raises if it unpacks to more than this size
        return b"".join(iter(lambda: packed.read(_PIECE), b""))
