"""The command `ec-agent demo` and its arguments; it imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ec_agent.cli.arguments import FilePath


@click.command(short_help="Run an agent eight times on a small model, and choose.")
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

    \b
    Examples:
      ec-agent demo
      ec-agent demo "Parcel: 2 vases + 1 tray" -n 4 --html demo.html
    """  # noqa: D301  # click's own mark
    click.echo("loading ec_agent, LangGraph and LangChain ...", err=options["as_json"])
    from ec_agent.cli.demo import run_demo

    run_demo(question, **options)
