"""The command `ec-agent` with its subcommands and their arguments; each imports what it needs when it runs.

Those of `ec-agent traces` are in ``app_traces``, those of `ec-agent commits` in ``app_commits``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ec_agent.cli.app_commits import commits
from ec_agent.cli.app_traces import traces
from ec_agent.cli.arguments import FilePath
from ec_agent.prompted.registry import PROTOCOLS

_OUTPUT = FilePath(path_type=str, allow_dash=True)


@click.group(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ec-agent")
def app() -> None:
    """Run a LangGraph agent N times and go on with the rollout its own token entropies trust most."""


app.add_command(traces)
app.add_command(commits)


@app.command()
@click.argument("question", required=False)
@click.option("-n", "--n", default=8, show_default=True, help="How many rollouts.")
@click.option("--temperature", default=0.8, show_default=True, help="Sampling temperature.")
@click.option("--seed", default=0, show_default=True, help="Seed of the first rollout; the others count up from it.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON and nothing else.")
@click.option("--html", type=FilePath(path_type=Path), help="Write a page that shows the rollouts token by token.")
@click.option("--live", is_flag=True, help="Show each rollout while it runs: calls, tokens, entropies, tools.")
def demo(question: str | None, **options: Any) -> None:
    """Run the main job on a real small model: N rollouts, their timelines, the chosen final action.

    QUESTION is for the demo's agent, who knows a small shop; left out, it is asked one that needs several steps.
    """
    from ec_agent.cli.demo import run_demo

    run_demo(question, **options)


@app.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FilePath(path_type=Path, allow_dash=True))
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["traces", "inspect", "langsmith", "reference", "responses"]),
    help="The kind of the files.  [default: recognised from each file]",
)
@click.option(
    "--top-percent",
    default=1.0,
    show_default=True,
    help="Percentage of tokens, those of highest entropy, that may start a phase.",
)
@click.option(
    "--bottom-percent",
    default=80.0,
    show_default=True,
    help="Percentage of tokens, those of lowest entropy, that count as low.",
)
@click.option("--consecutive-low", default=2, show_default=True, help="Number of low tokens in a row that end a phase.")
@click.option(
    "--min-coverage",
    default=0.5,
    show_default=True,
    help="Smallest share of tokens with an entropy for a rollout to be scored.",
)
@click.option(
    "--signal",
    default="entropy",
    show_default=True,
    type=click.Choice(["entropy", "surprisal"]),
    help="surprisal needs only the logprobs of the sampled tokens. Centroids of the two cannot be compared.",
)
@click.option("--one-rollout", is_flag=True, help="The records of a file are the LLM calls of one rollout, in order.")
@click.option("--strict", is_flag=True, help="Stop at the first record that cannot be read, instead of leaving it out.")
@click.option(
    "--max-depth",
    type=click.IntRange(1, 500),
    default=200,
    show_default=True,
    help="How deep arrays and objects may be nested in a record.",
)
@click.option(
    "--max-record",
    metavar="MB",
    type=click.IntRange(1, 1 << 20),
    help="Size of a record, unpacked.  [default: 256; of a zip at most 200 times its packed size]",
)
@click.option("--sweep", is_flag=True, help="Score a file of entropies (.npz, .npy) under 27 settings at once.")
@click.option(
    "--out", type=FilePath(path_type=Path), help="With --sweep: the file for the centroids.  [default: FILE.sweep.npy]"
)
@click.option("--fresh", is_flag=True, help="With --sweep: start again, and overwrite the results.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per rollout; with --sweep, per setting.")
def score(
    files: tuple[Path, ...],
    format_name: str | None,
    top_percent: float,
    bottom_percent: float,
    consecutive_low: int,
    min_coverage: float,
    signal: str,
    max_depth: int,
    max_record: int | None,
    **options: Any,
) -> None:
    """Score saved logprobs, your own or those in a log, and mark the rollout with the lowest centroid of each task.

    FILE is a trace file of ec-agent; a log of Inspect (.eval, .json); runs exported from LangSmith; the
    reference code's entropy_results.jsonl; or JSON or JSONL with a rollout a record: a line, an element of an array
    of objects, or the document. Such a record is an OpenAI response (or Ollama's, Gemini's, llama.cpp's own), a line
    of Batch API output, {"messages": [...]}, {"entropies": [...]}, a list of numbers, or a list of these for a
    rollout of several LLM calls. An "id" is shown. - reads standard input.

    Files may be of any size; one record is in memory at a time, and takes ten to twenty times its size. Records that
    cannot be read, or that exceed --max-depth or --max-record, are left out; standard error names them.

    With --sweep, FILE is what numpy.savez(FILE, entropies=..., lengths=...) wrote. The centroids
    for every setting are written to --out. After a stop or a kill, the same command continues.
    """
    most = None if max_record is None else max_record << 20
    sweep, out, fresh = (options.pop(name) for name in ("sweep", "out", "fresh"))
    if sweep:
        from ec_agent.cli.sweep import run_sweep

        if len(files) != 1:
            raise click.UsageError("--sweep takes one file")
        run_sweep(files[0], out, fresh=fresh, as_json=options["as_json"], max_rollout=most)
        return
    if out or fresh:
        raise click.UsageError("--out and --fresh go with --sweep")
    from ec_agent.cli.score import run_score
    from ec_agent.errors import ConfigError
    from ec_agent.evaluator import CentroidEvaluator
    from ec_agent.numbers.phases import HEPConfig
    from ec_agent.traces.foreign.bounds import Bounds

    if not 0.0 <= min_coverage <= 1.0:
        raise ConfigError(f"--min-coverage is {min_coverage}; give a share from 0 to 1")
    config = HEPConfig(top_percent, bottom_percent, consecutive_low)
    evaluator = CentroidEvaluator(config=config, min_coverage=min_coverage, signal=signal)
    run_score(files, evaluator, format=format_name, bounds=Bounds(max_depth, most), **options)


@app.command()
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
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.doctor import run_doctor

    sys.exit(run_doctor(target, model, api_key_env, timeout, as_json=as_json))


@app.command("eval")
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
@click.option("--out", type=FilePath(path_type=Path), help="The file to store in.  [default: runs/TASKS-AGENT.db]")
@click.option("--seed", default=0, show_default=True, help="Seed of the run, from which each rollout's seed is made.")
@click.option("--temperature", default=0.8, show_default=True, help="Sampling temperature.")
@click.option("--concurrency", default=4, show_default=True, help="Rollouts at once.")
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
def evaluate(tasks: str, agent: str, no_greedy: bool, **options: Any) -> None:
    """Run your agent N times on each of your tasks, and store every rollout with its verdict.

    TASKS is a .jsonl file, a line like {"id": "a", "input": "2 + 2?", "expected": "4", "match": "contains"} per task;
    module:name of a list of tasks, or of a function that gives one; or an adapter's, as bfcl:simple_python.
    The agent is anything that best_of_n takes, or a function that makes one: without parameters, or with one named
    task, called for each task, or one named model, given the chat model of --model. Modules of this directory are
    found.

    After a stop or a kill, the same command continues the run; no stored rollout runs again.

    \b
    Exit codes:
      0  every rollout is stored
      1  an error: an argument, a task's verdict, a file of another run
      3  a budget was spent before the end
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.eval import Command, model_of, run_eval, stop_of
    from ec_agent.evaluation.run_settings import RunSettings

    model = model_of(*(options.pop(name) for name in ("model", "base_url", "api_key_env", "tools", "model_arg")))
    command = Command(tasks, agent, model, **{name: options.pop(name) for name in Command.OPTIONS})
    stop = stop_of(options.pop("stop"))
    sys.exit(run_eval(command, RunSettings(greedy=not no_greedy, stop=stop, **options)))


@app.command()
@click.argument("source")
@click.option(
    "--input", "given", help="The graph's input: JSON, @FILE or - with JSON, or the text of a user's message."
)
@click.option(
    "-n",
    "--n",
    type=click.IntRange(min=1),
    help="Wrap the agent that SOURCE names in best_of_n, with so many rollouts.",
)
@click.option("--no-follow", is_flag=True, help="Show what a file holds now, and stop.")
def watch(source: str, given: str | None, n: int | None, no_follow: bool) -> None:
    """Watch rollouts while they run: state, calls, tokens, entropies and the tool at work, a row for each.

    \b
    SOURCE is one of
      module:name    your graph with best_of_n in it, a best_of_n, or with -n any agent: it is run on --input
      events.jsonl   events of another process, written by `with ec_agent.live.log(FILE) as on_event`
      -              the same on standard input
      runs/x.db      an evaluation that runs elsewhere, rollout by rollout

    Modules of this directory are found. On a terminal the rows are drawn again and again; elsewhere plain lines are
    printed. Ctrl-C ends the command with exit code 130, and leaves other processes alone.
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.watch import run_watch

    run_watch(source, given=given, n=n, follow=not no_follow)


@app.command()
@click.argument("run", type=FilePath(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=FilePath(path_type=Path), default=Path("settings.json"), show_default=True)
@click.option("--selectors", default="", help="Names with commas between them.  [default: all but the confounds]")
@click.option("--folds", default=5, show_default=True, help="Outer folds, each of whole tasks.")
@click.option("--repeats", default=20, show_default=True, help="How often to draw the folds.")
@click.option("--seed", default=0, show_default=True, help="Seed of these draws.")
@click.option("--partial", is_flag=True, help="Accept an unfinished run, and take its complete tasks.")
@click.option("--stop", is_flag=True, help="Choose a stopping plan too: the one that takes the fewest tokens.")
@click.option("--max-loss", default=0.005, show_default=True, help="With --stop: how much accuracy the plan may lose.")
def calibrate(run: Path, out: Path, selectors: str, **how: Any) -> None:
    """Choose a selector and its settings on a stored run, by nested cross-validation over its tasks.

    RUN is a file that `ec-agent eval` wrote. The command prints what the choice is worth on tasks on which it was not
    made, and beside it what tuning on the test set would have claimed. Read the settings file with
    `best_of_n(agent, **load_settings(FILE))`.
    """
    from ec_agent.cli.calibrate import run_calibrate

    names = tuple(name.strip() for name in selectors.split(",")) if selectors else ()
    run_calibrate(run, out, names, **how)


@app.command()
@click.argument("run", type=FilePath(path_type=Path))
@click.option("--html", type=FilePath(path_type=Path), help="Write a page with figures, complete in one file.")
@click.option(
    "--json", "as_json", metavar="FILE", type=_OUTPUT, help="Write all numbers; - prints them and nothing else."
)
@click.option(
    "--csv",
    "as_csv",
    metavar="FILE",
    type=_OUTPUT,
    help="Write one row per selector; - prints them and nothing else.",
)
@click.option("--selectors", help="Names with commas between them; settings as in deepconf_tail:window=64.")
@click.option("--config", help="Phases: top percent, bottom percent, consecutive low.  [default: 1,80,2]")
@click.option(
    "--stop",
    multiple=True,
    metavar="PLAN",
    help="A stopping plan to replay beside the selectors: agreement:2,2,4:threshold=0.75, say. May be repeated; left "
    "out, the usual plans are beside the majority vote and the lowest centroid.",
)
@click.option(
    "--resamples", default=9999, show_default=True, help="Number of resamples for the intervals, and for the p-values."
)
@click.option("--partial", is_flag=True, help="Accept an unfinished run, and take its complete tasks.")
@click.option("--task", help="With --html: a page of this task's rollouts alone, token by token.")
def report(run: Path, **options: Any) -> None:
    """Compare selectors on what `ec-agent eval` stored: accuracy with intervals, confounds, what may be concluded.

    RUN is the file that eval wrote; or a file of recorded selections, whose rollouts --html shows. No model is called.
    By default all selectors are compared, with their declared settings. The p-values are corrected for the number of
    selectors compared (selectors that rank alike count once), so name the ones you mean with --selectors.
    """
    from ec_agent.cli.report import run_report

    run_report(run, **options)


@app.group()
def fetch() -> None:
    """Fetch the model, or the tasks, that pip does not install."""


@fetch.command("model")
def fetch_model() -> None:
    """Fetch and verify the small instruct model that the demo, the examples and the tests run on."""
    from ec_agent.local.fetch import fetch_model as fetch

    click.echo(f"verified: {fetch()}")


@fetch.command("bfcl")
def fetch_bfcl() -> None:
    """Fetch and verify the tasks and checkers of the Berkeley Function Calling Leaderboard (2.5 MB)."""
    from ec_agent.local.fetch import fetch_bfcl as fetch

    for path in fetch():
        click.echo(f"verified: {path}")
