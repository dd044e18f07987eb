"""Numbers from Arrow arrays, and back, by their buffers.

``pyarrow.array``, ``pyarrow.scalar``, ``Array.to_numpy`` and others import pandas where it is installed. That takes
longer than to score millions of tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.phases import IntArray

_NAMES = {"float": "float32", "double": "float64"}  # NumPy's names of Arrow's types, where they differ


def floats_of(values: pa.Array) -> FloatArray:
    """Return numbers as float64, with NaN in place of null; read-only where nothing had to be copied."""
    if pa.types.is_null(values.type):
        return np.full(len(values), np.nan)
    return _with(np.nan, values, _seen(values).astype(np.float64, copy=False))


def lengths_of(lists: pa.Array) -> IntArray:
    """Return the length of each list, shape ``(R,)``; 0 for null."""
    lengths = _seen(compute.list_value_length(lists)).astype(np.int64, copy=False)
    return _with(0, lists, lengths)


def nullable(values: FloatArray) -> pa.Array:
    """Return float64 numbers, shape ``(R,)``, with null in place of NaN."""
    known = np.packbits(~np.isnan(values), bitorder="little")
    buffers = [pa.py_buffer(known), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.float64(), len(values), buffers)


def _with(value: float, array: pa.Array, numbers: NDArray[Any]) -> NDArray[Any]:
    """Put a value where the Arrow array is null."""
    if not array.null_count:
        return numbers
    valid = array.is_valid()
    bits = np.unpackbits(np.frombuffer(valid.buffers()[1], np.uint8), bitorder="little")
    return np.where(bits[valid.offset : valid.offset + len(valid)], numbers, value)


def _seen(numbers: pa.Array) -> NDArray[Any]:
    """Return the memory of numbers, read-only: anything stands where one is null."""
    dtype = np.dtype(_NAMES.get(str(numbers.type), str(numbers.type)))
    if not len(numbers):
        return np.empty(0, dtype)
    seen = np.frombuffer(numbers.buffers()[1], dtype, len(numbers), numbers.offset * dtype.itemsize)
    seen.flags.writeable = False
    return seen
