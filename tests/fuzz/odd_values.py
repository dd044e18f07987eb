"""Values that somebody gives by mistake, or that a program hands on unseen: each is fed to every argument."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np


class Mute:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Quarrelsome:
    """An object that can be neither compared nor taken for true or false, as arrays and column expressions cannot."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        raise TypeError("not to be compared")

    def __bool__(self) -> bool:
        raise TypeError("neither true nor false")


async def coroutine_function(*_: Any, **__: Any) -> None:
    """Given where a function is wanted, say."""


def too_many(_1: Any, _2: Any, _3: Any, _4: Any, _5: Any, _6: Any) -> None:
    """A function of more arguments than anybody gives it."""


def loop() -> list[Any]:
    around: list[Any] = []
    around.append(around)
    return around


VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "-1": lambda: -1,
    "3": lambda: 3,
    "2**70": lambda: 2**70,
    "10**400": lambda: 10**400,
    "-2**70": lambda: -(2**70),
    "0.5": lambda: 0.5,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "1j": lambda: 1j,
    "Decimal": lambda: Decimal("0.5"),
    "Decimal sNaN": lambda: Decimal("sNaN"),
    "np.int64": lambda: np.int64(3),
    "np.nan": lambda: np.float64("nan"),
    "np.array": lambda: np.array([1.0, 2.0]),
    "np.array 2d": lambda: np.ones((2, 2)),
    "np.array of texts": lambda: np.array(["a", "b"]),
    "empty text": lambda: "",
    "blank": lambda: "  \n",
    "text": lambda: "xyz",
    "NUL": lambda: "a\x00b",
    "half a pair": lambda: "a\ud800b",
    "long text": lambda: "x" * 5000,
    "bytes": lambda: b"x\xff",
    "no list": list,
    "list of numbers": lambda: [1, 2],
    "list of texts": lambda: ["xyz"],
    "list of None": lambda: [None],
    "nested lists": lambda: [[1, [2]], [3]],
    "endless list": loop,
    "tuple": lambda: (),
    "pair": lambda: (1.0, "x"),
    "dict": dict,
    "wrong keys": lambda: {"nobody": 1},
    "number keys": lambda: {1: 2, None: 3},
    "set": lambda: {"xyz"},
    "object": object,
    "mute": Mute,
    "quarrelsome": Quarrelsome,
    "list of mutes": lambda: [Mute()],
    "class": lambda: dict,
    "exception": lambda: ValueError("x"),
    "generator": lambda: (each for each in (1, "x")),
    "module": lambda: math,
    "function": lambda: lambda *_, **__: None,
    "function of none": lambda: lambda: None,
    "function of six": lambda: too_many,
    "coroutine function": lambda: coroutine_function,
}

PATHS: dict[str, Callable[[Path], Any]] = {
    "a folder": lambda folder: folder / "odd",
    "nothing there": lambda folder: folder / "odd" / "missing",
    "nothing there, text": lambda folder: str(folder / "odd" / "missing"),
    "nothing there, bytes": lambda folder: bytes(folder / "odd" / "missing"),
    "no folder there": lambda folder: folder / "odd" / "missing" / "file",
    "below a file": lambda folder: folder / "odd" / "empty" / "file",
    "binary file": lambda folder: folder / "odd" / "binary",
    "empty file": lambda folder: folder / "odd" / "empty",
    "a link to itself": lambda folder: folder / "odd" / "loop",
    "a dead link": lambda folder: folder / "odd" / "dead",
}

LABELS = (*VALUES, *(f"path: {label}" for label in PATHS), "class of the right one")


def odd_value(label: str, folder: Path, right: Any) -> Any:
    """The value; what it needs is made in the folder."""
    if label in VALUES:
        return VALUES[label]()
    if label == "class of the right one":
        return type(right)
    odd = folder / "odd"
    odd.mkdir()
    (odd / "binary").write_bytes(bytes(range(256)) * 32)
    (odd / "empty").touch()
    (odd / "loop").symlink_to("loop")
    (odd / "dead").symlink_to("nowhere/at/all")
    return PATHS[label.removeprefix("path: ")](folder)


_NO_NUMBER = ("text", "empty text", "list of numbers", "dict", "object", "True", "nan", "bytes", "1j", "class")
_NO_WHOLE = (*_NO_NUMBER, "0.5", "inf", "Decimal")
_NO_TEXT = ("3", "0.5", "True", "list of texts", "dict", "object", "bytes", "class", "nan")
_NO_FLAG = ("text", "3", "0.5", "list of numbers", "object", "dict", "nan")
_NO_FILE = ("3", "0.5", "True", "list of texts", "dict", "object", "class", "NUL", "nan", "empty text")


def refused(annotation: Any, label: str) -> bool:
    """Whether a value must be refused, wherever that is known from an argument's annotation."""
    kinds = set(get_args(annotation)) if get_origin(annotation) in (Union, types.UnionType) else {annotation}
    if label == "None":
        return bool(kinds & {int, float, str, bool, Path}) and not kinds & {types.NoneType, Any}
    kinds -= {types.NoneType}
    if kinds == {int}:
        return label in _NO_WHOLE
    if kinds in ({float}, {int, float}):
        return label in _NO_NUMBER
    if kinds == {str}:
        return label in _NO_TEXT
    if kinds == {bool}:
        return label in _NO_FLAG
    if Path in kinds and kinds <= {Path, str}:
        return label in _NO_FILE
    return bool(kinds) and all(get_origin(kind) is Literal for kind in kinds) and label in (*_NO_TEXT, "text")
