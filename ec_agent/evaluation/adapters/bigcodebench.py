"""``bigcodebench:FILE``: BigCodeBench, judged by the tests of its package (0.2.5, Apache-2.0) in a sandbox.

No package has the questions. The file is the data set as it is published: ``task_id``, ``instruct_prompt``,
``complete_prompt``, ``code_prompt``, ``canonical_solution``, ``test``, ``entry_point``. The Python of the sandbox needs
``pip install --no-deps bigcodebench==0.2.5``, NumPy and matplotlib for the checker, and the packages that the tasks
themselves import: BigCodeBench's own ``requirements-eval.txt``, or its image for Docker.
"""

from __future__ import annotations

from ec_agent.evaluation.adapters.answers import AnswerTask, code_in
from ec_agent.evaluation.adapters.rows import Row, cell, rows_of
from ec_agent.evaluation.sandboxes.base import Sandbox, SandboxLimits
from ec_agent.evaluation.sandboxes.choosing import check_modules, run_in, sandbox_in
from ec_agent.evaluation.tasks import Outcome, Task
from ec_agent.support.checks import one_of

PUBLISHED = "the data set bigcode/bigcodebench from the Hugging Face hub"
COLUMNS = "task_id, instruct_prompt, complete_prompt, code_prompt, canonical_solution, test and entry_point"
NEEDS = {"bigcodebench": "--no-deps bigcodebench==0.2.5", "numpy": "numpy", "matplotlib": "matplotlib"}
SPLITS = ("instruct", "complete")
BOUNDS = SandboxLimits(seconds=300.0, memory=30 << 30)  # the memory is the package's own limit; its time limit is 241 s
DRIVER = """
import types
from importlib.util import find_spec
# Without its __init__, which imports what fetches data sets.
bare = types.ModuleType("bigcodebench")
bare.__path__ = list(find_spec("bigcodebench").submodule_search_locations)
sys.modules["bigcodebench"] = bare
from bigcodebench.eval import PASS, untrusted_check
most = given["memory"] >> 20
status, _ = untrusted_check(given["code"], given["test"], given["entry"], most, most, 10, 1, 20)
tell(status == PASS)
"""
COMPLETES = "Complete this Python code. Give the whole of it in one code block:"


class FunctionTask(AnswerTask):
    """One function to write, with its unit tests.

    Args:
        id: its name.
        question: with what is asked for.
        gold: an answer that passes the tests.
        row: the data set's row.
        sandbox: where functions run.
    """

    def __init__(self, id: str, question: str, gold: str, row: Row, sandbox: Sandbox) -> None:
        super().__init__(id, question, gold, [row["test"], row["code_prompt"]])
        self._row, self._sandbox = row, sandbox

    def verdict(self, outcome: Outcome) -> bool:
        """Whether all tests pass, by the package's ``untrusted_check``, in its calibrated form."""
        code = f"{self._row['code_prompt']}\n    pass\n{code_in(outcome)}"  # so missing imports are there
        given = {"code": code, "test": self._row["test"], "entry": self._row["entry_point"]}
        return run_in(self._sandbox, DRIVER, given, bounds=BOUNDS) is True


def load(
    part: str, limit: int | None, *, split: str = "instruct", sandbox: str | None = None, python: str | None = None
) -> list[Task]:
    """The functions of a file.

    Args:
        part: the file.
        limit: the first so many.
        split: ``"instruct"`` asks in words, ``"complete"`` with the head of the function.
        sandbox: ``"bwrap"`` (the default) or ``"docker:IMAGE"``.
        python: the interpreter in it.

    Raises:
        ConfigError: no file is named, it is not as published, or there is no sandbox with what the checker needs.
    """
    one_of("split", split, SPLITS)
    rows = rows_of("bigcodebench", part, limit, published=PUBLISHED, columns=COLUMNS)
    for place, row in enumerate(rows, start=1):
        for name in ("test", "code_prompt", "entry_point", "canonical_solution"):
            cell(row, place, name)
    where = sandbox_in(sandbox, python)
    check_modules(where, NEEDS)
    return [_task(row, place, split, where) for place, row in enumerate(rows, start=1)]


def _task(row: Row, place: int, split: str, sandbox: Sandbox) -> FunctionTask:
    asked = str(cell(row, place, f"{split}_prompt"))
    question = asked if split == "instruct" else f"{COMPLETES}\n```python\n{asked}\n```"
    gold = f"```python\n{row['code_prompt']}{row['canonical_solution']}\n```"
    return FunctionTask(str(cell(row, place, "task_id")), question, gold, row, sandbox)
