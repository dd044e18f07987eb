"""The command `ec-agent init` and its arguments; it imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from ec_agent.cli.arguments import FilePath


@click.command(short_help="Write a program that runs an agent of yours, to edit.")
@click.argument("file", default="my_agent.py", type=FilePath(path_type=Path, dir_okay=False))
@click.option(
    "--embedded", is_flag=True, help="Its model is the small one of the demo: it runs as it is, without a key."
)
def init(file: Path, embedded: bool) -> None:
    """Write a short program that runs an agent of yours eight times, for you to edit.

    FILE is the program to write, my_agent.py if left out. A file that is there is never overwritten. Nothing is asked
    and nothing is installed; what to edit and which packages are missing is printed.

    \b
    Examples:
      ec-agent init
      ec-agent init --embedded
      ec-agent init shop_agent.py
    """  # noqa: D301  # click's own mark
    from ec_agent.cli.init import run_init

    run_init(file, embedded=embedded)
