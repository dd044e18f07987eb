"""Files of entropies, many rollouts one after the other, read a part at a time. NumPy only.

The form is NumPy's own, so that one line writes it::

    numpy.savez("runs.npz", entropies=numpy.concatenate(timelines), lengths=[len(t) for t in timelines])

``entropies`` are float32 or float64, nats, NaN where a token has none; ``lengths`` whole numbers, the tokens of each
rollout. A ``.npy`` file holds entropies alone: shape ``(R, T)``, R rollouts of T tokens, or ``(T,)``, one rollout.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from ec_agent.entropy import FloatArray
from ec_agent.errors import LogprobsError
from ec_agent.many import batches, checked_lengths
from ec_agent.phases import IntArray

SUFFIXES = (".npz", ".npy")
_FORM = "write numpy.savez(file, entropies=..., lengths=...), float32 or float64 and whole numbers"


class EntropyFile:
    """A file of entropies, open for reading from its beginning to its end.

    Attributes:
        path: where it is.
        lengths: shape ``(R,)``, tokens of each rollout.

    Raises:
        LogprobsError: it cannot be read, or is of another form.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with ExitStack() as stack:
                shape, dtype, _ = self._opened(stack)
                self.dtype = dtype
                self.lengths = self._lengths(stack, shape)
        except LogprobsError:
            raise
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise LogprobsError(f"{path} cannot be read as a file of entropies ({error}); {_FORM}") from error

    @property
    def tokens(self) -> int:
        """All tokens of all rollouts."""
        return int(self.lengths.sum())

    def parts(self, first: int = 0) -> Iterator[tuple[FloatArray, IntArray]]:
        """Entropies of some rollouts, one after the other, and their lengths; a part is a few megabytes.

        Args:
            first: the rollout to begin with.

        Raises:
            LogprobsError: the file ends too early.
        """
        with ExitStack() as stack:
            _, dtype, source = self._opened(stack)
            _skip(source, int(self.lengths[:first].sum()) * dtype.itemsize)
            counts = self.lengths[first:]
            for start, stop in batches(counts):
                part = counts[start:stop]
                wanted = int(part.sum()) * dtype.itemsize
                data = source.read(wanted)
                if len(data) < wanted:
                    raise LogprobsError(f"{self.path} ends too early; write it anew")
                yield np.frombuffer(data, dtype).astype(np.float64), part

    def _opened(self, stack: ExitStack) -> tuple[tuple[int, ...], np.dtype[Any], IO[bytes]]:
        source: IO[bytes] = stack.enter_context(self.path.open("rb"))
        if self.path.suffix == ".npz":
            archive = stack.enter_context(zipfile.ZipFile(source))
            source = stack.enter_context(archive.open("entropies.npy"))
        shape, dtype = _header(source)
        if dtype.kind != "f" or dtype.itemsize < 4:  # float16 is so coarse that it changes centroids
            raise LogprobsError(f"{self.path} holds {dtype}; {_FORM}")
        return shape, dtype, source

    def _lengths(self, stack: ExitStack, shape: tuple[int, ...]) -> IntArray:
        if self.path.suffix == ".npz":
            archive = stack.enter_context(zipfile.ZipFile(self.path))
            if len(shape) != 1:
                raise LogprobsError(f"the entropies of {self.path} have {len(shape)} dimensions; {_FORM}")
            with archive.open("lengths.npy") as source:
                return checked_lengths(np.lib.format.read_array(source, allow_pickle=False), shape[0])
        if len(shape) not in (1, 2):
            raise LogprobsError(f"{self.path} has {len(shape)} dimensions; give shape (R, T), or an .npz; {_FORM}")
        rollouts, tokens = shape if len(shape) == 2 else (1, shape[0])
        return np.full(rollouts, tokens, np.int64)


def _header(source: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(source)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(source)
    if by_columns and len(shape) > 1:
        raise ValueError("it is in Fortran order")
    return shape, dtype


def _skip(source: IO[bytes], size: int) -> None:
    if size:
        source.seek(size, 1)
