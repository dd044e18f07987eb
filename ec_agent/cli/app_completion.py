"""The command `ec-agent completion`: click's own completion, as a script for the user's shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ec_agent.cli import COMPLETING

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Complete words of ec-agent in bash, zsh or fish.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and files of ec-agent when Tab is pressed.

    \b
    Examples:
      echo 'eval "$(ec-agent completion bash)"' >> ~/.bashrc
      echo 'eval "$(ec-agent completion zsh)"' >> ~/.zshrc
      ec-agent completion fish > ~/.config/fish/completions/ec-agent.fish
    """  # noqa: D301  # click's own mark
    made = get_completion_class(shell)
    assert made is not None  # click has all three
    click.echo(made(context.find_root().command, {}, "ec-agent", COMPLETING).source())
