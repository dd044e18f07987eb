"""The command `ec-agent`: the group of its commands.

``app_X`` has the command X with its arguments, and module X does what the command is for: the arguments of
`ec-agent score` are in ``app_score``, and ``score`` does the scoring.
"""

from __future__ import annotations

import click

from ec_agent.cli.app_calibrate import calibrate
from ec_agent.cli.app_commits import commits
from ec_agent.cli.app_completion import completion
from ec_agent.cli.app_demo import demo
from ec_agent.cli.app_doctor import doctor
from ec_agent.cli.app_eval import evaluate
from ec_agent.cli.app_fetch import fetch
from ec_agent.cli.app_init import init
from ec_agent.cli.app_report import report
from ec_agent.cli.app_score import score
from ec_agent.cli.app_suite import suite
from ec_agent.cli.app_traces import traces
from ec_agent.cli.app_watch import watch
from ec_agent.cli.grouped_commands import GroupedCommands

HEADINGS = {
    "Begin": ("init", "demo", "doctor"),
    "While it runs": ("watch", "commits"),
    "Compare selectors on your tasks": ("eval", "report", "calibrate", "suite"),
    "Look into what is stored": ("traces", "score"),
    "Set up": ("fetch", "completion"),
}


@click.group(
    cls=GroupedCommands,
    headings=HEADINGS,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="ec-agent")
def app() -> None:
    """Run a LangGraph agent N times and go on with the rollout its own token entropies trust most.

    \b
    Examples:
      ec-agent init                  write a program that runs an agent of yours, to edit
      ec-agent doctor --help         what a command does, its options and examples
    """  # noqa: D301  # click's own mark


_COMMANDS = (init, demo, doctor, watch, commits, evaluate, report, calibrate, suite, traces, score, fetch, completion)
for _command in _COMMANDS:
    app.add_command(_command)
