"""The command line in the tests' own process, which has imported already what a new one would import for seconds.

One test of each command starts a process as a shell does; what else the command does is looked at here.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from subprocess import CompletedProcess

import pytest

from ec_agent.cli import main


def ran_here(*words, cwd=None, **env):
    """What ``subprocess.run`` gives for ``python -m ec_agent.cli``, run in ``cwd`` with these environment variables."""
    out, err = io.StringIO(), io.StringIO()
    folder = os.getcwd() if cwd is None else str(cwd)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "path", [folder, *sys.path])
        patch.setattr(sys, "argv", ["ec-agent", *map(str, words)])
        for name, value in env.items():
            patch.setenv(name, value)
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
    return CompletedProcess(words, code, out.getvalue(), err.getvalue())
