"""``synlogic:FILE``: SynLogic's puzzles, judged by the verifiers of its repository in a sandbox.

Neither is in a package. The file is the data set as it is published, in Parquet: ``prompt``, ``data_source`` and
``extra_info`` with ``game_data_str``. The verifiers are those of a clone of SynLogic, the folder that has
``task2verifier.py``: ``EC_AGENT_SYNLOGIC`` names it, or ``repo``. The Python of the sandbox needs what they import.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters.answers import AnswerTask, answer_in
from ec_agent.evaluation.adapters.rows import Row, cell, rows_of
from ec_agent.evaluation.sandboxes.base import Sandbox, SandboxLimits
from ec_agent.evaluation.sandboxes.choosing import run_in, sandbox_in
from ec_agent.evaluation.tasks import Outcome, Task
from ec_agent.support.checks import file_path

PUBLISHED = "the data set MiniMaxAI/SynLogic from the Hugging Face hub"
COLUMNS = "prompt, data_source and extra_info"
REPO = "EC_AGENT_SYNLOGIC"
IMPORTS = """
sys.path.insert(0, given["repo"])
from base.data import Data
from task2verifier import verifier_classes
"""
KNOWN = f"""
try:
    exec({IMPORTS!r})
except Exception as error:
    tell(f"{{type(error).__name__}}: {{error}}")
else:
    tell(sorted(verifier_classes))
"""
DRIVER = f"""{IMPORTS}
verifier = verifier_classes[given["puzzle"]]()
data = Data.from_json_str(given["game"])
try:
    tell(float(verifier.verify(data, given["answer"])))
except Exception:  # verifiers raise whatever their parsing does at an answer that they cannot read
    tell(0.0)
"""
ASKED = "Write your final answer between <answer> and </answer>."
_ANSWERED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


class PuzzleTask(AnswerTask):
    """One puzzle.

    Args:
        id: its name.
        messages: what is asked.
        puzzle: the name of its verifier.
        game: what the verifier knows of it, as JSON.
        repo: the clone of SynLogic.
        sandbox: where verifiers run, for some evaluate what they read.
    """

    def __init__(
        self, id: str, messages: Sequence[tuple[str, str]], puzzle: str, game: str, repo: Path, sandbox: Sandbox
    ) -> None:
        answer = json.loads(game).get("answer")
        super().__init__(id, messages, f"<answer>{answer}</answer>" if isinstance(answer, str) else None, game)
        self.expected = None if answer is None else str(answer)
        self._puzzle, self._game, self._repo, self._sandbox = puzzle, game, repo, sandbox

    def verdict(self, outcome: Outcome) -> float:
        """The verifier's score of what the last ``<answer>...</answer>`` holds, else of the whole answer."""
        text = answer_in(outcome)
        found = _ANSWERED.findall(text)
        answer = found[-1].strip() if found else text
        given = {"repo": str(self._repo), "puzzle": self._puzzle, "game": self._game, "answer": answer}
        score = run_in(self._sandbox, DRIVER, given, bounds=SandboxLimits(), folders=[self._repo])
        return min(1.0, max(0.0, score or 0.0))


def load(
    part: str, limit: int | None, *, repo: str | None = None, sandbox: str | None = None, python: str | None = None
) -> list[Task]:
    """The puzzles of a file.

    Args:
        part: the file.
        limit: the first so many.
        repo: the clone of SynLogic; ``None`` for the folder that the environment names in ``EC_AGENT_SYNLOGIC``.
        sandbox: ``"bwrap"`` (the default) or ``"docker:IMAGE"``.
        python: the interpreter in it.

    Raises:
        ConfigError: no file or clone is named, they are not as published, or there is no sandbox.
    """
    rows = rows_of("synlogic", part, limit, published=PUBLISHED, columns=COLUMNS)
    folder = repo or os.environ.get(REPO)
    if not folder or not (clone := file_path("repo", folder).resolve()).joinpath("task2verifier.py").is_file():
        raise ConfigError(
            f"the verifiers of SynLogic are in its repository alone, and {folder or 'no folder'} is not it; clone "
            f"MiniMax-AI/SynLogic, and name the folder with task2verifier.py: {REPO}=FOLDER"
        )
    where = sandbox_in(sandbox, python)
    known = run_in(where, KNOWN, {"repo": str(clone)}, bounds=SandboxLimits(), folders=[clone])
    if not isinstance(known, list):
        raise ConfigError(
            f"the verifiers in {clone} cannot be imported in the sandbox {where.name} ({known}); install what they "
            "need in its Python: pip install -r requirements.txt"
        )
    return [_task(row, place, known, clone, where) for place, row in enumerate(rows, start=1)]


def _task(row: Row, place: int, known: Sequence[str], repo: Path, sandbox: Sandbox) -> PuzzleTask:
    puzzle = str(cell(row, place, "data_source")).removeprefix("val/")
    if puzzle not in known:
        raise ConfigError(f"row {place} is a puzzle {puzzle!r}, and {repo} has no verifier of that name; update it")
    extra = cell(row, place, "extra_info")
    game = extra.get("game_data_str") if isinstance(extra, dict) else None
    prompt = cell(row, place, "prompt")
    try:
        messages = [(str(said["role"]), str(said["content"])) for said in prompt]
        whole = isinstance(json.loads(game or ""), dict)
    except (TypeError, KeyError, ValueError):
        whole = False
    if not whole:
        raise ConfigError(
            f"row {place} has no prompt of messages, or no game_data_str in its extra_info; give the data set as it "
            "is published"
        )
    if not any("<answer>" in text for _, text in messages):
        messages[-1] = (messages[-1][0], f"{messages[-1][1]}\n\n{ASKED}")
    return PuzzleTask(f"synlogic-{puzzle}-{place}", messages, puzzle, str(game), repo, sandbox)
