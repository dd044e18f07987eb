"""Reads files with the entropies of many rollouts, a few megabytes at a time. NumPy only.

The files have NumPy's own format. One line writes one::

    numpy.savez("runs.npz", entropies=numpy.concatenate(timelines), lengths=[len(t) for t in timelines])

``entropies`` holds all rollouts one after the other, as float32 or float64, in nats, NaN where a token has no entropy.
``lengths`` holds whole numbers, the tokens of each rollout. A ``.npy`` file holds entropies without lengths. Its shape
is ``(R, T)`` for R rollouts of T tokens each, or ``(T,)`` for one rollout.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from ec_agent.errors import LogprobsError
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.many_timelines import batches, checked_lengths
from ec_agent.numbers.phases import IntArray

SUFFIXES = (".npz", ".npy")
MAX_ROLLOUT = 256 << 20
"""Limit in bytes for the entropies of one rollout, and for all lengths together: both are read into memory whole."""

_DAMAGED = (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile)
_FORM = "write numpy.savez(file, entropies=..., lengths=...), float32 or float64 and whole numbers"


class EntropyFile:
    """A file of entropies. Its lengths are read at once, its entropies by ``parts()``.

    Args:
        path: the file, ``.npz`` or ``.npy``.
        max_rollout: limit in bytes for the entropies of one rollout, and for all lengths together. ``None`` means
            ``MAX_ROLLOUT``.

    Attributes:
        path: the file.
        lengths: shape ``(R,)``, tokens of each rollout.

    Raises:
        LogprobsError: the file cannot be read, has another format, is shorter than its header says, or has a rollout
            larger than ``max_rollout``.
    """

    def __init__(self, path: Path, max_rollout: int | None = None) -> None:
        self.path = path
        self._most = MAX_ROLLOUT if max_rollout is None else max_rollout
        try:
            with ExitStack() as stack:
                shape, dtype, _ = self._opened(stack)
                self.dtype = dtype
                self.lengths = self._lengths(stack, shape)
                self._check_room("a rollout", int(self.lengths.max(initial=0)) * dtype.itemsize)
        except LogprobsError:
            raise
        except (ValueError, KeyError, *_DAMAGED) as error:
            raise LogprobsError(f"{path} cannot be read as a file of entropies ({error}); {_FORM}") from error

    @property
    def tokens(self) -> int:
        """Number of tokens of all rollouts together."""
        return int(self.lengths.sum())

    def parts(self, first: int = 0) -> Iterator[tuple[FloatArray, IntArray]]:
        """Read the file part by part. Each part holds whole rollouts, a few megabytes of them.

        Args:
            first: index of the rollout to begin with.

        Yields:
            ``(entropies, lengths)`` of the next rollouts: shapes ``(sum of lengths,)``, nats, and ``(rollouts,)``.

        Raises:
            LogprobsError: the file is damaged or ends too early.
        """
        with ExitStack() as stack:
            _, dtype, source = self._opened(stack)
            _skip(source, int(self.lengths[:first].sum()) * dtype.itemsize)
            counts = self.lengths[first:]
            for start, stop in batches(counts):
                part = counts[start:stop]
                wanted = int(part.sum()) * dtype.itemsize
                try:
                    data = source.read(wanted)
                except _DAMAGED as error:
                    raise LogprobsError(f"{self.path} is damaged ({error}); write it anew") from error
                if len(data) < wanted:
                    raise LogprobsError(f"{self.path} ends too early; write it anew")
                yield np.frombuffer(data, dtype).astype(np.float64), part

    def _opened(self, stack: ExitStack) -> tuple[tuple[int, ...], np.dtype[Any], IO[bytes]]:
        source: IO[bytes] = stack.enter_context(self.path.open("rb"))
        size = self.path.stat().st_size
        if self.path.suffix == ".npz":
            source, size = _member(stack, source, "entropies.npy")
        shape, dtype = _header(source, size)
        if dtype.kind != "f" or dtype.itemsize < 4:  # float16 is so coarse that it changes centroids
            raise LogprobsError(f"{self.path} holds {dtype}; {_FORM}")
        return shape, dtype, source

    def _lengths(self, stack: ExitStack, shape: tuple[int, ...]) -> IntArray:
        if self.path.suffix == ".npz":
            if len(shape) != 1:
                raise LogprobsError(f"the entropies of {self.path} have {len(shape)} dimensions; {_FORM}")
            whole = stack.enter_context(self.path.open("rb"))
            source, size = _member(stack, whole, "lengths.npy")
            self._check_room("the lengths of all rollouts", size)
            counts, dtype = _header(source, size)
            return checked_lengths(np.frombuffer(source.read(), dtype).reshape(counts), shape[0])
        if len(shape) not in (1, 2):
            raise LogprobsError(f"{self.path} has {len(shape)} dimensions; give shape (R, T), or an .npz; {_FORM}")
        rollouts, tokens = shape if len(shape) == 2 else (1, shape[0])
        self._check_room("the lengths of all rollouts", rollouts * np.dtype(np.int64).itemsize)
        return np.full(rollouts, tokens, np.int64)

    def _check_room(self, what: str, size: int) -> None:
        if size > self._most:
            raise LogprobsError(
                f"{self.path}: {what} would take {size >> 20:,} MB of memory, more than the limit of "
                f"{self._most >> 20:,}; if you trust the file, give a larger --max-record"
            )


def _member(stack: ExitStack, file: IO[bytes], name: str) -> tuple[IO[bytes], int]:
    """Open a member of an ``.npz`` file; return it with its size in bytes after unpacking."""
    archive = stack.enter_context(zipfile.ZipFile(file))
    info = archive.getinfo(name)
    # For other ways of packing, Python's zipfile unpacks more bytes than read() was asked for: a small hostile file
    # could fill the memory.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed in a way that NumPy does not use")
    return stack.enter_context(archive.open(info)), info.file_size


def _header(source: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the shape and type of an array from the beginning of a file of ``size`` bytes.

    Raises:
        ValueError: the array cannot be read part by part, or the header claims more bytes than the file has.
    """
    version = np.lib.format.read_magic(source)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(source)
    if by_columns and len(shape) > 1:
        raise ValueError("it is in Fortran order")
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    told, there = math.prod(shape) * dtype.itemsize, size - source.tell()
    if min(shape, default=0) < 0 or told > there:
        raise ValueError(f"it ends too early: its header claims {told:,} bytes, and {there:,} are there")
    return shape, dtype


def _skip(source: IO[bytes], size: int) -> None:
    if size:
        source.seek(size, 1)
