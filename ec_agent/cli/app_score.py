"""The command `ec-agent score` and its arguments; it imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ec_agent.cli.arguments import FilePath, given_besides
from ec_agent.logs.registry import READERS

_OF_SWEEP = ("out", "fresh", "workers", "column", "top_logprobs")
_WITH_SWEEP = (*_OF_SWEEP, "files", "sweep", "max_record", "as_json")


@click.command(short_help="Score saved logprobs, your own or those in a log.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FilePath(path_type=Path, allow_dash=True))
@click.option(
    "--format",
    "format_name",
    type=click.Choice(READERS),
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
@click.option(
    "--task-from",
    metavar="FROM",
    help="Rollouts with the same KEY of the record (metadata.question), or the same first group of a REGEX on its id "
    "('^(q[0-9]+)-'), or of KEY=REGEX, answer the same task.  [default: what the log says, or is guessed and told]",
)
@click.option(
    "--rollout-from",
    metavar="FROM",
    help="In the same way: records that are the LLM calls of one rollout. They count in their order, or by a second "
    "group of REGEX. The word `record` says that each record is a rollout.",
)
@click.option("--one-task", is_flag=True, help="All rollouts that have no task of their own answer the same task.")
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
@click.option(
    "--sweep",
    is_flag=True,
    help="Score entropies under 27 settings at once: a file .npz or .npy, or Parquet files with a list a rollout.",
)
@click.option(
    "--out",
    type=FilePath(path_type=Path),
    help="With --sweep: the file for the centroids, for Parquet the folder.  [default: FILE.sweep.npy, DIR.sweep]",
)
@click.option("--fresh", is_flag=True, help="With --sweep: start again, and overwrite the results.")
@click.option(
    "--workers", type=click.IntRange(1, 1024), help="With --sweep of Parquet files: number of processes.  [default: 1]"
)
@click.option("--column", help="With --sweep of Parquet files: the column of lists.  [default: entropy]")
@click.option(
    "--top-logprobs",
    is_flag=True,
    help="With --sweep of Parquet files: a row's list has a list of logprobs for each token, of its candidates.",
)
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
    task_from: str | None,
    rollout_from: str | None,
    **options: Any,
) -> None:
    """Score saved logprobs, your own or those in a log, and mark the rollout with the lowest centroid of each task.

    FILE is a trace file of ec-agent; our OpenTelemetry spans, made with instrument(entropies=True); a log of Inspect
    (.eval, .json); runs exported from LangSmith; spans of OpenInference, traces of MLflow; LangGraph's checkpoints or
    the log of llm (SQLite); the reference code's entropy_results.jsonl; a saved conversation (an array of messages);
    or JSON, JSONL or Parquet
    with a rollout a record: a line, a row, an element of an array of objects, or the document. Such a record is an
    OpenAI response (or Ollama's, Gemini's, llama.cpp's own), a line of Batch API output, {"messages": [...]},
    {"entropies": [...]}, a list of numbers, or a list of these for a rollout of several LLM calls. An "id" is shown.
    FILE may be packed (.gz). - reads standard input.

    Files may be of any size; one record is in memory at a time, and takes ten to twenty times its size. Records that
    cannot be read, or that exceed --max-depth or --max-record, are left out; standard error names them.

    With --sweep, FILE is what numpy.savez(FILE, entropies=..., lengths=...) wrote; or Parquet files, folders and
    patterns of them, with a row for each rollout, as `ec-agent traces export` writes them into the folder timelines.
    The centroids for every setting are written to --out. After a stop or a kill, the same command continues.

    \b
    Examples:
      ec-agent score responses.jsonl
      ec-agent score logs/*.eval --top-percent 5
      curl ... | ec-agent score - --json
    """  # noqa: D301  # click's own mark
    most = None if max_record is None else max_record << 20
    sweeping = {name: options.pop(name) for name in _OF_SWEEP}
    if options.pop("sweep"):
        if others := given_besides(_WITH_SWEEP):
            raise click.UsageError(f"with --sweep, {', '.join(others)} would do nothing; leave out one or the other")
        _sweep(files, most, as_json=options["as_json"], **sweeping)
        return
    if any(sweeping.values()):
        raise click.UsageError("--out, --fresh, --workers, --column and --top-logprobs go with --sweep")
    from ec_agent.cli.score import run_score
    from ec_agent.errors import ConfigError
    from ec_agent.evaluator import CentroidEvaluator
    from ec_agent.logs.bounds import Bounds
    from ec_agent.numbers.phases import HEPConfig

    if not 0.0 <= min_coverage <= 1.0:
        raise ConfigError(f"--min-coverage is {min_coverage}; give a share from 0 to 1")
    config = HEPConfig(top_percent, bottom_percent, consecutive_low)
    evaluator = CentroidEvaluator(config=config, min_coverage=min_coverage, signal=signal)
    groups = _groups(task_from, rollout_from, options["one_task"], options["one_rollout"])
    files = tuple(dict.fromkeys(files))  # a file that is named twice has its rollouts once
    run_score(files, evaluator, format=format_name, bounds=Bounds(max_depth, most), groups=groups, **options)


def _groups(task: str | None, rollout: str | None, one_task: bool, one_rollout: bool) -> Any:
    from ec_agent.logs.keys import from_option
    from ec_agent.logs.rollouts import EACH, Groups

    if (task is not None and (one_task or one_rollout)) or (rollout is not None and one_rollout):
        raise click.UsageError("--task-from goes without --one-task, and neither FROM with --one-rollout")
    each = rollout == EACH
    return Groups(
        None if task is None else from_option("--task-from", task),
        None if rollout is None or each else from_option("--rollout-from", rollout),
        each,
    )


def _sweep(
    files: tuple[Path, ...], most: int | None, *, out: Path | None, fresh: bool, as_json: bool, **lists: Any
) -> None:
    from ec_agent.cli.sweep_parquet import is_parquet, run_parquet_sweep

    if any(map(is_parquet, files)):
        run_parquet_sweep(files, out, fresh=fresh, as_json=as_json, **{**lists, "most": most})
        return
    from ec_agent.cli.sweep import run_sweep

    if len(files) != 1:
        raise click.UsageError("--sweep takes one file, or Parquet files and folders of them")
    if any(lists.values()):
        raise click.UsageError("--workers, --column and --top-logprobs are for Parquet files")
    run_sweep(files[0], out, fresh=fresh, as_json=as_json, max_rollout=most)
