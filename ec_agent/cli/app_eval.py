"""The command `ec-agent eval` and its arguments; it imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ec_agent.cli.arguments import FilePath
from ec_agent.prompted.registry import PROTOCOLS


@click.command("eval", short_help="Run an agent N times on each task, and store it all.")
@click.argument("tasks")
@click.option("--agent", required=True, help="The agent under test, module:name.")
@click.option("--model", help="For a function with a parameter named model: the chat model it is given.")
@click.option("--base-url", help="URL of that model's OpenAI-compatible endpoint.  [default: OPENAI_BASE_URL, if set]")
@click.option("--api-key-env", help="Environment variable that holds its key.  [default: OPENAI_API_KEY, if set]")
@click.option(
    "--tools",
    type=click.Choice(["native", *PROTOCOLS]),
    help="How that model calls tools: the endpoint's own way, or in its text, where tokens have logprobs.  "
    "[default: native]",
)
@click.option(
    "--model-arg",
    multiple=True,
    metavar="NAME=VALUE",
    help="An argument of that model, such as max_tokens=4096 or top_p=0.95.",
)
@click.option("-n", "--n", default=8, show_default=True, help="Rollouts per task.")
@click.option(
    "--out",
    type=FilePath(path_type=Path, urls=True),
    help="The file to store in, or postgresql://...  [default: runs/TASKS-AGENT.db]",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the run, from which each rollout's seed is made.")
@click.option("--temperature", default=0.8, show_default=True, help="Sampling temperature.")
@click.option("--concurrency", default=4, show_default=True, help="Rollouts at once.")
@click.option("--engine", type=click.Choice(["ray"]), help="Run the rollouts on a Ray cluster.  [default: here]")
@click.option("--address", help="The Ray cluster, host:port or auto.  [default: RAY_ADDRESS, else one started here]")
@click.option("--workers", type=int, help="Ray workers.  [default: one for each CPU of the cluster]")
@click.option("--per-worker", type=int, help="Rollouts at once on each Ray worker.  [default: 8]")
@click.option("--shard", metavar="I/N", help="Run the I-th of N parts of the tasks, as one of N machines; I is from 1.")
@click.option("--limit", type=click.IntRange(min=1), help="Take the first so many tasks.")
@click.option("--max-tokens", type=int, help="Generated tokens per rollout; one that needs more fails.")
@click.option("--timeout", type=float, help="Seconds per rollout; one that needs more fails.")
@click.option("--recursion-limit", default=100, show_default=True, help="Supersteps per rollout.")
@click.option(
    "--token-budget", type=int, help="Generated tokens over the whole run; when they are spent, no rollout starts."
)
@click.option("--call-budget", type=int, help="Model calls over the whole run; when they are spent, no rollout starts.")
@click.option("--no-greedy", is_flag=True, help="Leave out the baseline, one more rollout per task at temperature 0.")
@click.option("--request-logprobs", is_flag=True, help="Ask for logprobs in requests that do not ask for them.")
@click.option(
    "--stop",
    metavar="PLAN",
    help="Start each task's rollouts in waves, until this stopping plan says that enough is known: agreement:4,4, say, "
    "or a settings file of `ec-agent calibrate --stop`.",
)
@click.option("--retry-failed", is_flag=True, help="Run rollouts that failed again, after an outage.")
@click.option("--fresh", is_flag=True, help="Delete what the file holds, and start again.")
@click.option("--live", is_flag=True, help="Show each rollout while it runs: calls, tokens, entropies, tools.")
@click.option("--same-agent", is_flag=True, help="Continue although the agent's code or model has changed.")
@click.option("--dry-run", is_flag=True, help="Load tasks and agent, print the expected costs, and run nothing.")
@click.pass_context
def evaluate(context: click.Context, /, tasks: str, agent: str, no_greedy: bool, **options: Any) -> None:
    """Run your agent N times on each of your tasks, and store every rollout with its verdict.

    TASKS is a .jsonl file, a line like {"id": "a", "input": "2 + 2?", "expected": "4", "match": "contains"} per task;
    module:name of a list of tasks, or of a function that gives one; or an adapter's, as bfcl:simple_python.
    The agent is anything that best_of_n takes, or a function that makes one: without parameters, or with one named
    task, called for each task, or one named model, given the chat model of --model. Modules of this directory are
    found.

    With --engine ray, rollouts run on Ray workers, --per-worker at once on each, and results are stored here as always.

    After a stop or a kill, the same command continues the run; no stored rollout runs again.

    \b
    Exit codes:
      0  every rollout is stored
      1  an error: an argument, a task's verdict, a file of another run
      3  a budget was spent before the end

    \b
    Examples:
      ec-agent eval tasks.jsonl --agent my_agent:agent --n 8
      ec-agent eval sums --agent graphs.eval_agents:sums_agent --limit 20 --dry-run
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.eval import Command, engine_of, model_of, run_eval, stop_of
    from ec_agent.evaluation.run_settings import RunSettings

    model = model_of(*(options.pop(name) for name in ("model", "base_url", "api_key_env", "tools", "model_arg")))
    command = Command(tasks, agent, model, **{name: options.pop(name) for name in Command.OPTIONS})
    stop = stop_of(options.pop("stop"))
    at_once = context.get_parameter_source("concurrency") is ParameterSource.COMMANDLINE
    engine = engine_of(*(options.pop(name) for name in ("engine", "address", "workers", "per_worker")), at_once=at_once)
    sys.exit(run_eval(command, RunSettings(greedy=not no_greedy, stop=stop, **options), engine))
