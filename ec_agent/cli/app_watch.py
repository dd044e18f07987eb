"""The command `ec-agent watch` and its arguments; it imports what it needs when it runs."""

from __future__ import annotations

import click


@click.command(short_help="Watch rollouts while they run, a row for each.")
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
      runs/x.db      an evaluation that runs elsewhere, rollout by rollout; so is postgresql://...

    Modules of this directory are found. On a terminal the rows are drawn again and again; elsewhere plain lines are
    printed. Ctrl-C ends the command with exit code 130, and leaves other processes alone.

    \b
    Examples:
      ec-agent watch my_agent:better --input "What is 17 * 23?"
      ec-agent watch runs/tasks-my_agent.db
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.watch import run_watch

    run_watch(source, given=given, n=n, follow=not no_follow)
