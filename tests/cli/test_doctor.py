"""``ec-agent doctor``: its table, its JSON, its exit codes, and what it says where it cannot ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_here import ran_here
from click.testing import CliRunner
from fake_openai import MODEL, Answer, FakeOpenAI

from ec_agent.capture import request_logprobs
from ec_agent.cli.app import app
from ec_agent.errors import ConfigError, DoctorError, EcAgentError
from ec_agent.testing import logprobs_for

KEY = "sk-very-secret-1234"


@pytest.fixture(scope="module")
def _server():
    fake = FakeOpenAI()
    yield fake
    fake.close()


@pytest.fixture
def fake(_server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    _server.asked.clear()
    _server.otherwise = good
    request_logprobs.forget()
    return _server


def good(body):
    """An endpoint that does all that is needed."""
    entropies = [1.0, 0.2, 0.1]
    entries = logprobs_for(entropies)
    answer = Answer(entropies, logprobs=entries if "input" in body else {"content": entries})
    answer.text = f"text {body.get('seed')}"
    answer.more = [entropies] * (body.get("n", 1) - 1)
    if body.get("tools"):
        answer.tool_calls = [("get_weather", {"city": "Paris"})]
    if "response_format" in body:
        answer.text = '{"answer": "blue"}'
    return answer


def no_tools_and_stream(body):
    if body.get("tools") and body.get("stream"):
        return Answer(status=400, error="logprobs is not supported with tools + stream")
    return good(body)


def no_logprobs(body):
    return Answer([1.0], logprobs=False)


def no_answer(body):
    return Answer(status=404, error=f"model '{body['model']}' not found")


def doctor(*words, **kwargs):
    return CliRunner().invoke(app, ["doctor", *words], **kwargs)


CODES = {
    "usable": (good, 0),
    "with settings": (no_tools_and_stream, 3),
    "not": (no_logprobs, 4),
    "none": (no_answer, 1),
}


@pytest.mark.parametrize(("kind", "code"), CODES.values(), ids=CODES)
def test_the_exit_code_says_it(fake, kind, code):
    fake.otherwise = kind
    done = doctor(fake.url, "--model", MODEL)
    assert done.exit_code == code
    assert f"(exit code {code})" in done.stdout
    as_json = doctor(fake.url, "--model", MODEL, "--json")
    assert as_json.exit_code == code
    assert json.loads(as_json.stdout)["exit_code"] == code


def test_json_is_one_object_and_nothing_else(fake):
    done = doctor(fake.url, "--model", MODEL, "--json")
    assert len(done.stdout.splitlines()) == 1
    report = json.loads(done.stdout)
    assert set(report) == {
        *("target", "verdict", "exit_code", "findings", "set", "ways"),
        *("requests", "prompt_tokens", "generated_tokens", "seconds"),
    }
    assert report["target"] == f"{MODEL} at {fake.url}"
    assert report["verdict"] == "usable as is"
    assert report["requests"] == len(fake.asked)
    answers = {found["question"]: found["answer"] for found in report["findings"]}
    assert (answers["logprobs"], answers["tools"], answers["seed"]) == ("yes", "yes", "yes")
    assert report["set"][0]["text"].startswith(f'ChatOpenAI(model="{MODEL}"')
    made = {"model": MODEL, "base_url": fake.url, "logprobs": True, "top_logprobs": 20, "stream_usage": True}
    assert [(way["model"], way["best_of_n"], way["coverage"]) for way in report["ways"]] == [
        (made, {}, 1.0),
        ({"model": MODEL, "base_url": fake.url}, {"request_logprobs": True}, 1.0),
    ]


def rows(text):
    """The table's first two columns."""
    lines = text[text.index("────") :].splitlines()[1:]
    cells = [
        [cell for cell in line.strip().split("  ") if cell] for line in lines[: lines.index("what to set  (* needed)")]
    ]
    return {cell[0].strip(): cell[1].strip() for cell in cells if len(cell) > 2}


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_has_every_answer_at_any_width(fake, columns):
    fake.otherwise = no_tools_and_stream
    done = doctor(fake.url, "--model", MODEL, env={"COLUMNS": str(columns)})
    assert rows(done.stdout) == {
        "logprobs": "yes",
        "top-k limit": "yes",
        "sampled token in its top-k": "yes",
        "before temperature": "yes",
        "with tools": "yes",
        "with streaming": "yes",
        "with tools and streaming": "no",
        "with a JSON schema": "yes",
        "with a schema, streamed": "yes",
        "before the grammar": "yes",
        "Responses API": "yes",
        "older completions API": "not asked",
        "reasoning content": "no",
        "n > 1": "yes",
        "seed honoured": "yes",
        "usage reported": "yes",
        "model that was asked": "yes",
    }
    assert max(map(len, done.stdout.splitlines())) <= columns
    assert "\x1b" not in done.stdout
    text = " ".join(done.stdout.split())
    assert 'disable_streaming="tool_calling"' in text
    assert "asked 17 requests; tokens: " in text
    assert "verdict usable with the settings named" in text


def run(*words, cwd=None, **env):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return subprocess.run(
        [sys.executable, "-m", "ec_agent.cli", "doctor", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        # LangChain warns of Python 3.14 whenever it is imported.
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "ignore:Core Pydantic V1", **env},
    )


def test_as_a_script_would_run_it(fake):
    done = run(fake.url, "--model", MODEL, "--json", OPENAI_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["exit_code"] == 0
    assert KEY not in done.stdout


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_nobody_there_is_one_line_and_exit_1(words):
    done = ran_here("doctor", "http://127.0.0.1:9/v1", "--model", "m", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ec-agent: cannot reach m at http://127.0.0.1:9/v1")
    assert "Traceback" not in done.stderr


def test_the_key_is_taken_from_the_environment_and_never_shown(fake, monkeypatch):
    fake.otherwise = lambda body: Answer(status=401, error=f"wrong key {KEY}")
    monkeypatch.setenv("MY_KEY", KEY)
    done = doctor(fake.url, "--model", MODEL, "--api-key-env", "MY_KEY")
    assert isinstance(done.exception, DoctorError)
    assert "wrong key ***" in str(done.exception)
    assert KEY not in done.output + repr(done.exception)


MODULE = '''
from langchain_openai import ChatOpenAI
print("a module that talks")

def make(**kwargs):
    asking = {{"logprobs": True, "top_logprobs": 20, "stream_usage": True}}
    return ChatOpenAI(model="{model}", base_url="{url}", api_key="none", max_retries=0, **asking, **kwargs)

def tool(city: str) -> str:
    """A tool."""
    return city

model = make()
bound = model.bind_tools([tool])
number = 7
sequence = model | (lambda message: message)

def broken():
    raise RuntimeError("no luck")

class Holder:
    model = make()

async def later():
    return model
'''


@pytest.fixture
def module(fake, tmp_path):
    (tmp_path / "my_models.py").write_text(MODULE.format(model=MODEL, url=fake.url))
    return tmp_path


@pytest.mark.parametrize("name", ["model", "make", "bound", "Holder.model"])
def test_a_chat_model_of_this_directory(module, name):
    done = ran_here("doctor", f"my_models:{name}", "--json", cwd=module)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["target"].startswith(f"ChatOpenAI {MODEL} at ")
    assert "a module that talks" in done.stderr


WRONG = {
    "nothing": ((), ConfigError, "nothing to ask; give the base URL"),
    "no model": (("http://127.0.0.1:9/v1",), ConfigError, "--model is missing"),
    "no scheme": (("localhost:80/v1", "--model", "m"), ConfigError, "'localhost:80/v1' is none, for a URL begins"),
    "neither": (("localhost:8080/v1",), ConfigError, "neither a URL nor module:name"),
    "a bare word": (("my_models",), ConfigError, "neither a URL nor module:name"),
    "another scheme": (("ftp://x/v1", "--model", "m"), ConfigError, "such as http://127.0.0.1:8080/v1"),
    "no time": (("http://x/v1", "--model", "m", "--timeout", "0"), ConfigError, "seconds above 0"),
    "no such variable": (("http://x/v1", "--model", "m", "--api-key-env", "NO_KEY"), ConfigError, "has no NO_KEY"),
    "no such module": (("no_such_module:model",), ConfigError, "there is no module no_such_module"),
    "a file": (("my_models.py:model",), ConfigError, "write the module without .py, my_models:model"),
    "no such port": (("http://x:99999/v1", "--model", "m"), ConfigError, "such as http://127.0.0.1:8080/v1"),
    "no such name": (("my_models:nothing",), ConfigError, "my_models has no nothing"),
    "a number": (("my_models:number",), ConfigError, "of type int; name a LangChain chat model"),
    "a sequence": (("my_models:sequence",), ConfigError, "RunnableSequence; give a LangChain chat model"),
    "a broken factory": (("my_models:broken",), DoctorError, "RuntimeError: no luck"),
    "a coroutine": (("my_models:later",), ConfigError, "of type coroutine"),
}


@pytest.mark.parametrize(("words", "kind", "text"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_asked_is_said(module, monkeypatch, words, kind, text):
    monkeypatch.chdir(module)
    monkeypatch.syspath_prepend(str(module))
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")  # never asked unless it is given
    done = doctor(*words)
    assert isinstance(done.exception, kind), done.output
    assert isinstance(done.exception, EcAgentError)
    assert text in str(done.exception)


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from ec_agent.cli import main\ntry: main()\nexcept SystemExit: pass\n"
        "print({'numpy', 'pydantic', 'langchain_core', 'openai', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_help_names_the_exit_codes():
    text = doctor("--help").stdout
    for line in ("0  usable as is", "1  an error", "3  usable with the settings named", "4  not usable"):
        assert line in text
