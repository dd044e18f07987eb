"""The command `ec-agent`: the group of its commands.

``app_X`` has the command X with its arguments, and module X does what the command is for: the arguments of
`ec-agent score` are in ``app_score``, and ``score`` does the scoring.
"""

from __future__ import annotations

import click

from ec_agent.cli.app_calibrate import calibrate
from ec_agent.cli.app_commits import commits
from ec_agent.cli.app_demo import demo
from ec_agent.cli.app_doctor import doctor
from ec_agent.cli.app_eval import evaluate
from ec_agent.cli.app_fetch import fetch
from ec_agent.cli.app_report import report
from ec_agent.cli.app_score import score
from ec_agent.cli.app_suite import suite
from ec_agent.cli.app_traces import traces
from ec_agent.cli.app_watch import watch


@click.group(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ec-agent")
def app() -> None:
    """Run a LangGraph agent N times and go on with the rollout its own token entropies trust most."""


for _command in (traces, commits, demo, score, doctor, evaluate, suite, watch, calibrate, report, fetch):
    app.add_command(_command)
