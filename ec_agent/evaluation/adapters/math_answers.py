"""Mathematical answers compared by math-verify, in a process of its own: what ``aime2025`` and ``minerva`` share."""

from __future__ import annotations

import atexit
import contextlib
import json
import re
import subprocess
import sys
from threading import Lock, Timer
from typing import Any

from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.evaluation.adapters import math_worker
from ec_agent.evaluation.adapters.answers import AnswerTask, answer_in
from ec_agent.evaluation.adapters.common import package
from ec_agent.evaluation.adapters.rows import cell, rows_of
from ec_agent.evaluation.tasks import Outcome, Task

REQUIREMENT = "math-verify[antlr4-13-2]==0.9.0"
SECONDS = 60.0
"""For one comparison. Math-verify gives up after 5 seconds of each of its steps; this is for steps it cannot leave."""

ASKED = "Think step by step, and write your final answer as \\boxed{...}."
_BOXED = re.compile(r"\\boxed\s*\{")


class Comparer:
    """A process that compares, started at first use and started anew after one comparison too hard for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None

    def same(self, gold: str, answer: str, seconds: float = SECONDS) -> bool:
        """Whether an answer ends in the gold one; ``False`` too where that cannot be told in the time there is.

        Raises:
            EvaluationError: math-verify does not work here.
        """
        with self._lock:
            process = self._process or self._started()
            said = _said(process, json.dumps([gold, answer]), seconds)
            if said is None:
                self._stop()
            return said is True

    def _started(self) -> subprocess.Popen[str]:
        self._process = process = subprocess.Popen(
            [sys.executable, "-P", math_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        atexit.register(process.kill)
        if _said(process, None, SECONDS) is not True:
            self._stop()
            raise EvaluationError(
                f"math-verify does not find that 1 is 1 in {sys.executable}; run: pip install '{REQUIREMENT}'"
            )
        return process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            atexit.unregister(self._process.kill)
            self._process = None


def _said(process: subprocess.Popen[str], line: str | None, seconds: float) -> bool | None:
    """What the process says to a line; ``None`` where it ends, or is ended after so many seconds, without a word."""
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    timer = Timer(seconds, process.kill)
    timer.start()
    try:
        if line is not None:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(f"{line}\n")
                stdin.flush()
        said = stdout.readline()
    finally:
        timer.cancel()
    return json.loads(said) if said.strip() else None


_comparer = Comparer()


class MathTask(AnswerTask):
    """A question with one mathematical answer.

    Args:
        id: its name.
        question: as the data set has it.
        answer: the right answer, in LaTeX or as a number.
    """

    def __init__(self, id: str, question: str, answer: str) -> None:
        super().__init__(id, f"{question}\n\n{ASKED}", f"\\boxed{{{answer}}}", ASKED)
        self.expected = answer

    def verdict(self, outcome: Outcome) -> bool:
        """Math-verify's: whether the last boxed formula, else the last formula or number, equals the right answer."""
        return _comparer.same(self.expected or "", answer_in(outcome))


def load_math(source: str, part: str, limit: int | None, published: str) -> list[Task]:
    """The rows of a file as tasks.

    Raises:
        ConfigError: math-verify is not installed, or the file is not as the data set is published.
    """
    package("math_verify")
    columns = "problem (or question) and answer (or solution, with the answer in \\boxed{})"
    rows = rows_of(source, part, limit, published=published, columns=columns)
    return [_task(source, row, place) for place, row in enumerate(rows, start=1)]


def _task(source: str, row: Any, place: int) -> MathTask:
    name = next((row[key] for key in ("id", "problem_idx", "idx", "unique_id") if row.get(key) is not None), place)
    question = str(cell(row, place, "problem", "question"))
    answer = row.get("answer")
    if answer is None or answer == "":
        answer = last_boxed(str(cell(row, place, "answer", "solution")))
    if answer is None:
        raise ConfigError(f"row {place} has no answer, and its solution nothing in \\boxed{{}}; give an answer")
    return MathTask(f"{source}-{name}", question, str(answer).strip().strip("$"))


def last_boxed(text: str) -> str | None:
    r"""What the last ``\boxed{...}`` of a text holds, braces within it included; ``None`` without one."""
    starts = [found.end() for found in _BOXED.finditer(text)]
    for start in reversed(starts):
        depth = 1
        for place in range(start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                return text[start:place]
    return None
