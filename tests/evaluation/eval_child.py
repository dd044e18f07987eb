"""A warmed process: for each line of JSON it forks a child that runs an evaluation, and says how it ended.

That is the child's exit status, 0 where it came to its end. It is killed after ``kill_after`` seconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from eval_fakes import Calls, agent_of, tasks

from ec_agent.capture.openai_client import install_patch
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.evaluation.runner import evaluate


def run(order):
    calls = Calls(order["delay"], order["log"])
    evaluate(tasks(order["tasks"]), agent_of(calls), order["path"], RunSettings(**order["settings"]))


def main():
    install_patch()  # loads what a first rollout would load
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            status = 1
            try:
                run(order)
                status = 0
            finally:
                os._exit(status)
        print(ended(child, order["kill_after"]), flush=True)


def ended(child, kill_after):
    """The exit status of a child that is killed where it runs for so many seconds."""
    due = None if kill_after is None else time.monotonic() + kill_after
    while True:
        reaped, status = os.waitpid(child, 0 if due is None else os.WNOHANG)
        if reaped:
            return os.waitstatus_to_exitcode(status)
        if due is not None and time.monotonic() >= due:
            os.kill(child, signal.SIGKILL)
            due = None
        time.sleep(0.001)


if __name__ == "__main__":
    main()
