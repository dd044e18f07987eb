"""How much Python runs inside a call: a loop over tokens shows as a count that grows with the tokens."""

from __future__ import annotations

import sys


def bytecodes(function, *args):
    """Python instructions executed by ``function(*args)``, in every frame below it."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if sys.version_info >= (3, 13):  # these heed the next line only in a frame that is traced already
            frame.f_trace = trace
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 heeds it only where some frame had it when tracing began
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
