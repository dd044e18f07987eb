"""Arithmetic given as text, with a grammar of its own: whatever the text, it takes little time and memory.

    sum      = product {("+" | "-") product}
    product  = signed {("*" | "/" | "//" | "%") signed}
    signed   = {"+" | "-"} power
    power    = value ["**" signed]
    value    = number | "pi" | "(" sum ")" | function "(" sum {"," sum} ")"

What can be written there is all that there is, and operators bind as they do in Python. Three bounds hold the work:
the length of the text, the depth to which it nests, and the digits of every number on the way. The size of a result is
known before it is calculated, so that no argument sets the size of the work.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

MAX_LENGTH = 200  # characters
MAX_DEPTH = 30  # brackets, signs after a power, and powers of powers, within each other
MAX_DIGITS = 100  # of a whole number, and of what round() rounds to

Number = int | float

_TOKEN = re.compile(
    r"([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)|([A-Za-z]+)|(\*\*|//|[-+*/%(),])"
)
_KNOWN = "+ - * / // % ** ( ) , abs, min, max, round, sqrt, pi and numbers"


class ExpressionError(ValueError):
    """The text is no arithmetic, or its value is too large; the message says which."""


class _Token(NamedTuple):
    text: str
    kind: str  # "number", "name", "sign", or "end"


def evaluated(text: str) -> Number:
    """The value of the text, a whole number of at most ``MAX_DIGITS`` digits or a finite float.

    Raises:
        ExpressionError: it has none.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"it has {len(text)} characters; give at most {MAX_LENGTH}")
    reading = _Reading(_tokens(text.strip(" \t")))
    value = reading.sum()
    if reading.next.kind != "end":
        raise ExpressionError(f"{reading.next.text!r} stands where an operator or the end belongs; write one sum")
    return value


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        if text[at] in " \t":
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            hint = (
                "; write ** for a power"
                if text[at] == "^"
                else "; write one sum on one line"
                if text[at] in "\r\n;"
                else ""
            )
            raise ExpressionError(f"{text[at]!r} is not known here, only {_KNOWN} are{hint}")
        number, name, _ = match.groups()
        tokens.append(_Token(match[0], "number" if number else "name" if name else "sign"))
        at = match.end()
    return [*tokens, _Token("the end", "end")]


class _Reading:
    """The tokens, read from the left; each method takes what it is named after, and gives its value."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = self._depth = 0

    @property
    def next(self) -> _Token:
        return self._tokens[self._at]

    def sum(self) -> Number:
        return self._chain(self._product, {"+": lambda a, b: a + b, "-": lambda a, b: a - b})

    def _product(self) -> Number:
        return self._chain(self._signed, _PRODUCTS)

    def _chain(
        self, operand: Callable[[], Number], operators: Mapping[str, Callable[[Number, Number], Number]]
    ) -> Number:
        value = operand()
        while (operator := operators.get(self.next.text)) is not None:
            self._at += 1
            value = _applied(operator, value, operand())
        return value

    def _signed(self) -> Number:
        negative = False
        while self.next.text in ("+", "-"):
            negative ^= self._take().text == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> Number:
        base = self._value()
        if self.next.text != "**":
            return base
        self._at += 1
        return _applied(_power, base, self._deeper(self._signed))

    def _value(self) -> Number:
        token = self._take()
        if token.kind == "number":
            return _number(token.text)
        if token.text == "pi":
            return math.pi
        if token.text == "(":
            value = self._deeper(self.sum)
            self._close()
            return value
        if token.kind == "name":
            return self._call(token.text)
        raise ExpressionError(f"{token.text!r} stands where a number belongs")

    def _call(self, name: str) -> Number:
        function = _FUNCTIONS.get(name)
        if function is None:
            raise ExpressionError(f"{name!r} is not known here, only {_KNOWN} are")
        if self._take().text != "(":
            raise ExpressionError(f"{name} needs its arguments in round brackets")
        arguments = [self._deeper(self.sum)]
        while self.next.text == ",":
            self._at += 1
            arguments.append(self._deeper(self.sum))
        self._close()
        return _applied(function, *arguments)

    def _deeper(self, read: Callable[[], Number]) -> Number:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"it nests more than {MAX_DEPTH} deep; calculate its parts first")
        value = read()
        self._depth -= 1
        return value

    def _take(self) -> _Token:
        token = self.next
        self._at += token.kind != "end"
        return token

    def _close(self) -> None:
        if (token := self._take()).text != ")":
            hint = "; write numbers without commas" if token.text == "," else ""
            raise ExpressionError(f"{token.text!r} stands where ')' belongs{hint}")


def _number(text: str) -> Number:
    if not text.isdigit():
        return _bounded(float(text))
    if len(text) > 1 and text[0] == "0":  # the rest of 1,000, which would be two numbers
        raise ExpressionError(f"{text} begins with a zero; write numbers without commas, such as 1000")
    return _bounded(int(text))


def _bounded(value: Number | complex) -> Number:
    if isinstance(value, complex):
        raise ExpressionError("the value is not a real number")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionError("the value is not finite")
    elif abs(value) >= _TOO_LARGE:
        raise ExpressionError(f"a number has more than {MAX_DIGITS} digits")
    return value


def _applied(function: Callable[..., Number], *values: Number) -> Number:
    try:
        return _bounded(function(*values))
    except ZeroDivisionError as error:
        raise ExpressionError("division by zero") from error
    except OverflowError as error:
        raise ExpressionError("the value is not finite") from error


def _power(base: Number, exponent: Number) -> Number:
    # The digits are counted before the power is calculated.
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        if abs(base) > 1 and exponent * math.log10(abs(base)) > MAX_DIGITS:
            raise ExpressionError(f"the power has more than {MAX_DIGITS} digits")
        return int(base**exponent)
    return _bounded(float(base) ** float(exponent))


def _absolute(*values: Number) -> Number:
    return abs(_alone("abs", values))


def _root(*values: Number) -> Number:
    value = _alone("sqrt", values)
    if value < 0:
        raise ExpressionError("sqrt of a number below 0 is not a real number")
    return math.sqrt(value)


def _rounded(*values: Number) -> Number:
    if len(values) == 1:
        return round(values[0])
    if len(values) > 2:
        raise ExpressionError(f"round takes a number and its decimals, not {len(values)} numbers")
    value, decimals = values
    if not isinstance(decimals, int):
        raise ExpressionError("the decimals of round are to be a whole number")
    if abs(decimals) > MAX_DIGITS:  # the work grows with them, not with what is rounded
        raise ExpressionError(f"round knows {MAX_DIGITS} decimals at most, to either side")
    return round(value, decimals)


def _alone(name: str, values: tuple[Number, ...]) -> Number:
    if len(values) != 1:
        raise ExpressionError(f"{name} takes one number, not {len(values)}; write numbers without commas")
    return values[0]


_TOO_LARGE = 10**MAX_DIGITS
_PRODUCTS: Mapping[str, Callable[[Number, Number], Number]] = {
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}
_FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "abs": _absolute,
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
    "round": _rounded,
    "sqrt": _root,
}
