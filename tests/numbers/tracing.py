"""How much Python runs inside a call: a loop over tokens shows as a count that grows with the tokens."""

from __future__ import annotations

import sys


def bytecodes(function, *args):
    """Python instructions executed by ``function(*args)``, in every frame below it."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*args)
    finally:
        sys.settrace(before)
    return count


def lines(function, *args):
    """Python line events during ``function(*args)``, in every frame below it."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*args)
    finally:
        sys.settrace(before)
    return count
