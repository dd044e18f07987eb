"""The commands of `ec-agent fetch`; each imports what it needs when it runs."""

from __future__ import annotations

import click


@click.group(short_help="Fetch the model, or the tasks, that pip does not.")
def fetch() -> None:
    """Fetch the model, or the tasks, that pip does not install.

    \b
    Example:
      ec-agent fetch model
    """  # noqa: D301  # click's own mark


@fetch.command("model")
def fetch_model() -> None:
    """Fetch and verify the small instruct model that the demo, the examples and the tests run on.

    \b
    Example:
      ec-agent fetch model
    """  # noqa: D301  # click's own mark
    from ec_agent.local.fetch import fetch_model as fetch

    click.echo(f"verified: {fetch()}")


@fetch.command("bfcl")
def fetch_bfcl() -> None:
    """Fetch and verify the tasks and checkers of the Berkeley Function Calling Leaderboard (2.5 MB).

    \b
    Example:
      ec-agent fetch bfcl
    """  # noqa: D301  # click's own mark
    from ec_agent.local.fetch import fetch_bfcl as fetch

    for path in fetch():
        click.echo(f"verified: {path}")
