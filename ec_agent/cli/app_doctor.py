"""The command `ec-agent doctor` and its arguments; it imports what it needs when it runs."""

from __future__ import annotations

import sys

import click


@click.command(short_help="Does a model return logprobs, and what is to be set?")
@click.argument("target", required=False)
@click.option("--model", help="With a URL: the name by which the endpoint knows the model.")
@click.option("--api-key-env", help="Environment variable that holds the key.  [default: OPENAI_API_KEY, if set]")
@click.option("--timeout", default=30.0, show_default=True, help="With a URL: how many seconds an answer may take.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def doctor(target: str | None, model: str | None, api_key_env: str | None, timeout: float, as_json: bool) -> None:
    """Find out whether a model returns logprobs, and what to set, by about sixteen small questions.

    TARGET is the base URL of an OpenAI-compatible endpoint, with --model; or module:name of a LangChain chat
    model, of one with parameters bound, or of a function that makes one. Modules of this directory are found.
    The doctor tries each setting before it suggests it. docs/doctor.md explains every question.

    \b
    Exit codes:
      0  usable as is: plain answers and tool calls come with candidates
      1  an error: nobody answers, the key is wrong, an argument is missing
      3  usable with the settings named
      4  not usable: no candidates' logprobs

    \b
    Examples:
      ec-agent doctor http://localhost:8000/v1 --model my-model
      ec-agent doctor my_agent:model --json
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.doctor import run_doctor

    sys.exit(run_doctor(target, model, api_key_env, timeout, as_json=as_json))
