"""``livecodebench:FILE``: LiveCodeBench's code generation, judged by its own test runner in a sandbox.

No package has the questions. The file is one of ``test.jsonl``, ``test2.jsonl`` ... of ``code_generation_lite``, or a
folder of them. Read are ``question_id``, ``question_content``, ``starter_code``, ``public_test_cases``,
``private_test_cases``, ``metadata`` and ``contest_date``. The runner is that of nvidia-livecodebench 26.3 (MIT), which
needs only NumPy: ``pip install --no-deps nvidia-livecodebench==26.3``, in the Python of the sandbox.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import zlib
from typing import Any, NoReturn

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters.answers import AnswerTask, code_in
from ec_agent.evaluation.adapters.rows import Row, cell, rows_of
from ec_agent.evaluation.sandboxes.base import Sandbox, SandboxLimits
from ec_agent.evaluation.sandboxes.choosing import check_modules, run_in, sandbox_in
from ec_agent.evaluation.tasks import Outcome, Task

PUBLISHED = "the data set livecodebench/code_generation_lite from the Hugging Face hub"
COLUMNS = "question_id, question_content, starter_code, public_test_cases, private_test_cases and metadata"
NEEDS = {"livecodebench": "--no-deps nvidia-livecodebench==26.3", "numpy": "numpy"}
SECONDS_A_TEST = 6  # as the package has it
DRIVER = """
from importlib.util import find_spec, module_from_spec, spec_from_file_location
(folder,) = find_spec("livecodebench").submodule_search_locations
# The file alone: the package beside it imports the clients of every provider.
spec = spec_from_file_location("testing_util", os.path.join(folder, "evaluation", "testing_util.py"))
runner = module_from_spec(spec)
spec.loader.exec_module(runner)
ran = runner.run_test({"input_output": given["tests"]}, test=given["code"], timeout=given["seconds"])
# A list of True and False, or of negative numbers for what went wrong; None for code that does not compile.
tell([bool(runner.np.all(runner.np.asarray(each) == True)) for each in ran[0]] if ran else [])
"""
READS = "Write a program in Python that reads from standard input and writes to standard output."
COMPLETES = "Write the solution in Python. Begin with this code, and keep its names:"
ASKED = "Give the whole program in one code block:\n```python\n# your code\n```"


class ProgramTask(AnswerTask):
    """One question, with the tests of its answer.

    Args:
        id: its name.
        question: with what is asked for.
        tests: the package's ``input_output``: JSON with ``inputs``, ``outputs`` and ``fn_name``.
        count: how many tests these are.
        sandbox: where programs run.
    """

    def __init__(self, id: str, question: str, tests: str, count: int, sandbox: Sandbox) -> None:
        super().__init__(id, question, None, tests)
        self._tests, self._count, self._sandbox = tests, count, sandbox

    def verdict(self, outcome: Outcome) -> bool:
        """Whether the program passes every test, by LiveCodeBench's own runner."""
        given = {"tests": self._tests, "code": code_in(outcome), "seconds": SECONDS_A_TEST}
        bounds = SandboxLimits(seconds=(SECONDS_A_TEST + 1.0) * self._count + 30.0)
        passed = run_in(self._sandbox, DRIVER, given, bounds=bounds)
        return passed is not None and len(passed) == self._count and all(passed)


def load(
    part: str,
    limit: int | None,
    *,
    sandbox: str | None = None,
    python: str | None = None,
    since: str = "",
    until: str = "9999",
) -> list[Task]:
    """The questions of a file, or of a folder's files.

    Args:
        part: the file or folder.
        limit: the first so many.
        sandbox: ``"bwrap"`` (the default) or ``"docker:IMAGE"``.
        python: the interpreter in it.
        since: the first day of a contest, ``2024-08-01``, by ``contest_date``.
        until: the day after the last one.

    Raises:
        ConfigError: no file is named, it is not as published, or there is no sandbox with what the runner needs.
    """
    rows = rows_of("livecodebench", part, None, published=PUBLISHED, columns=COLUMNS)
    placed = [
        (place, row)
        for place, row in enumerate(rows, start=1)
        if (not since and until == "9999") or since <= str(cell(row, place, "contest_date")) < until
    ][:limit]
    if not placed:
        raise ConfigError(f"{part} has no question from since={since!r} to until={until!r}; give other days")
    where = sandbox_in(sandbox, python)
    check_modules(where, NEEDS)
    return [_task(row, place, where) for place, row in placed]


def _task(row: Row, place: int, sandbox: Sandbox) -> ProgramTask:
    try:
        tests = [*_tests(row.get("public_test_cases")), *_tests(row.get("private_test_cases"))]
        told = json.loads(row.get("metadata") or "{}")
        cases = {name: [test[name[:-1]] for test in tests] for name in ("inputs", "outputs")}
    except (ValueError, KeyError, TypeError, zlib.error, pickle.UnpicklingError, EOFError) as error:
        raise ConfigError(
            f"row {place} has test cases that cannot be read ({type(error).__name__}: {error}); give the data set as "
            "it is published"
        ) from error
    if not tests:
        raise ConfigError(f"row {place} has no test cases; give the data set as it is published")
    starter = row.get("starter_code") or ""
    form = f"{COMPLETES}\n```python\n{starter}\n```" if starter else READS
    question = f"{cell(row, place, 'question_content')}\n\n{form}\n\n{ASKED}"
    named = json.dumps({**cases, "fn_name": told.get("func_name")})
    return ProgramTask(f"livecodebench-{cell(row, place, 'question_id')}", question, named, len(tests), sandbox)


class _OnlyText(pickle.Unpickler):
    """Reads a pickled text, as the private tests are published, and refuses anything that would run code."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}, where a text is expected")


def _tests(column: Any) -> list[dict[str, Any]]:
    """Test cases: a list, JSON, or JSON that is pickled, compressed and in base 64."""
    if not isinstance(column, str):
        return list(column or [])
    try:
        found = json.loads(column)
    except ValueError:
        packed = zlib.decompress(base64.b64decode(column))
        found = json.loads(_OnlyText(io.BytesIO(packed)).load())
    return list(found)
