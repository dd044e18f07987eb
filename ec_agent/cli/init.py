"""``ec-agent init``: a first program of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

import click

from ec_agent.cli.files import check_place
from ec_agent.errors import ConfigError
from ec_agent.support.checks import cause_of
from ec_agent.support.extras import installing

EXAMPLE = """\
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from ec_agent import best_of_n

endpoint = {"base_url": "http://localhost:8000/v1", "api_key": "none"}  # EDIT; {} is OpenAI, by OPENAI_API_KEY
model = ChatOpenAI(model="my-model", **endpoint, logprobs=True, top_logprobs=20)  # EDIT: its name
agent = create_agent(model, tools=[])  # EDIT: your agent, any LangGraph graph
better = best_of_n(agent, n=8, sampling=lambda index: {"temperature": 0.8, "seed": index})

if __name__ == "__main__":
    print(better.run({"messages": [("user", "What is 17 * 23?")]}))  # EDIT: your question
"""
_CHANGES = {
    "import best_of_n\n": "import best_of_n\nfrom ec_agent.local import shared_server\n",
    '{"base_url": "http://localhost:8000/v1", "api_key": "none"}  # EDIT; {} is OpenAI, by OPENAI_API_KEY': (
        '{"base_url": shared_server().base_url, "api_key": "none", "max_tokens": 200}  # EDIT: the demo\'s model'
    ),
    "my-model": "SmolLM2-135M-Instruct",
}
EMBEDDED = EXAMPLE
for _old, _new in _CHANGES.items():
    EMBEDDED = EMBEDDED.replace(_old, _new)
_USED = {"langchain": "langchain", "langchain_openai": "langchain-openai"}  # the module, and what pip calls it
_TASK = '{"id": "1", "input": "What is 17 * 23?", "expected": "391", "match": "contains"}'


def run_init(file: Path, *, embedded: bool = False) -> None:
    """Write the program, and say what to do with it.

    Args:
        file: the program.
        embedded: its model is the embedded one, so that it runs before a line is edited.

    Raises:
        ConfigError: the file is there already, cannot be written, or has a name by which it cannot be imported,
            or that of a module that is there.
    """
    if file.suffix != ".py" or not file.stem.isidentifier() or iskeyword(file.stem):
        raise ConfigError(f"{file.name} cannot be imported by its name; give one such as my_agent.py")
    if _hides_a_module(file):
        raise ConfigError(
            f"{file.name} would hide the module {file.stem} from everything that imports it; give another name, such "
            "as my_agent.py"
        )
    check_place(file)
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(EMBEDDED if embedded else EXAMPLE)
    except FileExistsError:
        raise ConfigError(f"{file} is there already, and stays as it is; give another name") from None
    except OSError as error:
        raise ConfigError(f"cannot write {file} ({cause_of(error)}); name a file in a folder that exists") from error
    steps = (f"{number}. {step}" for number, step in enumerate(_steps(file, embedded), 1))
    click.echo("\n".join([f"written: {file}", *steps]))


def _steps(file: Path, embedded: bool) -> Iterator[str]:
    """What is to be done with the program, step by step."""
    if missing := [name for module, name in _USED.items() if find_spec(module) is None]:
        yield f"install what it uses: pip install {' '.join(missing)}"
    run = f"run it: python {file}"
    if embedded:
        if find_spec("xllamacpp") is None:
            yield f"install its model: {installing('ec-agent[local]')}"
        yield f"{run}; the first run fetches the model, 93 MB"
    yield f"edit the lines of {file} that say EDIT: your model, your agent, your question"
    yield "see whether your model returns logprobs: ec-agent doctor http://localhost:8000/v1 --model my-model"
    if not embedded:
        yield run
    yield f"write tasks of yours to tasks.jsonl, each a line such as {_TASK}"
    if find_spec("scipy") is None:
        yield f"install the statistics: {installing('ec-agent[eval]')}"
    yield f"measure it on them: ec-agent eval tasks.jsonl --agent {file.stem}:agent --n 8"


def _hides_a_module(file: Path) -> bool:
    if file.stem in sys.stdlib_module_names or file.stem == "__main__":
        return True
    spec = find_spec(file.stem)
    if spec is None:
        return False
    if spec.origin is not None:
        return Path(spec.origin).resolve() != file.resolve()
    # a package without __init__.py, such as langgraph; beside the file it may be any folder
    return any(Path(place).parent.resolve() != file.parent.resolve() for place in spec.submodule_search_locations or ())
