"""Code runs in a sandbox that is there, or is refused; what it reaches from there, and what it is told of its end."""

from __future__ import annotations

import itertools
import os
import socket
import stat
import sys
import time

import pytest
from published import needs_sandbox

from ec_agent.errors import ConfigError, EvaluationError
from ec_agent.evaluation.sandboxes.base import SandboxLimits
from ec_agent.evaluation.sandboxes.choosing import check_modules, run_in, sandbox_in

BOUNDS = SandboxLimits(seconds=60.0, memory=2 << 30, files=8 << 20)


@pytest.fixture
def bwrap(monkeypatch):
    needs_sandbox()
    monkeypatch.delenv("EC_AGENT_SANDBOX", raising=False)
    monkeypatch.delenv("EC_AGENT_SANDBOX_PYTHON", raising=False)
    return sandbox_in(None, None)


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A docker that keeps its words, and runs the Python behind the image's name here."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {tmp_path}/words\n"
        'while [ $# -gt 0 ] && [ "$1" != an/image ]; do shift; done\n'
        f'[ $# -gt 0 ] || exit 1\nshift; exec {sys.executable} "$@"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return lambda: (tmp_path / "words").read_text().splitlines()


def test_a_result_comes_back_and_prints_do_not(bwrap):
    driver = "print('{}'); sys.stderr.write('x'); os.system('echo ec_agent'); tell({'sum': sum(given['numbers'])})"
    assert run_in(bwrap, driver, {"numbers": [1, 2]}, bounds=BOUNDS) == {"sum": 3}


@pytest.mark.parametrize(
    "driver",
    [
        "pass",
        "raise ValueError('x')",
        "sys.exit(0)",
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
        "os.write(said, b'1\\n')",
    ],
)
def test_code_that_tells_nothing_has_no_result(bwrap, driver):
    assert run_in(bwrap, driver, {}, bounds=BOUNDS) is None


@pytest.mark.parametrize(
    "driver",
    [
        "bytearray(3 << 30); tell('memory')",
        "open('/tmp/a', 'wb').write(bytes(32 << 20)); tell('files')",
        "open('/usr/a', 'w'); tell('system')",
        "open(given['file']).read(); tell('file')",
        "open('/etc/shadow').read(); tell('shadow')",
        "import socket; socket.create_connection(tuple(given['at']), 2); tell('network')",
        "os.kill(given['pid'], 0); tell('process')",
        "os.environ['A_SECRET']; tell('environment')",
    ],
)
def test_what_code_cannot_reach(bwrap, driver, tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET", "1")
    secret = tmp_path / "secret"
    secret.write_text("1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = {"file": str(secret), "at": server.getsockname(), "pid": os.getpid()}
        assert run_in(bwrap, driver, given, bounds=BOUNDS) is None


def test_a_folder_is_read_and_not_written(bwrap, tmp_path):
    (tmp_path / "a").write_text("read")
    reads = "tell(open(given['at'] + '/a').read())"
    assert run_in(bwrap, reads, {"at": str(tmp_path)}, bounds=BOUNDS, folders=[tmp_path]) == "read"
    writes = "open(given['at'] + '/a', 'w').write('x'); tell(1)"
    assert run_in(bwrap, writes, {"at": str(tmp_path)}, bounds=BOUNDS, folders=[tmp_path]) is None
    assert (tmp_path / "a").read_text() == "read"


def test_time_ends_all_that_was_started(bwrap):
    driver = (
        "import subprocess; [subprocess.Popen(['sleep', '600']) for _ in range(3)]; subprocess.run(['sleep', '600'])"
    )
    begun = time.monotonic()
    assert run_in(bwrap, driver, {}, bounds=SandboxLimits(seconds=1.0)) is None
    assert time.monotonic() - begun < 60


def test_what_a_python_lacks_is_told_before(bwrap):
    check_modules(bwrap, {"numpy": "numpy"})
    with pytest.raises(
        ConfigError, match=r"sandbox bwrap has no no_such_module; install there: pip install no-such==1"
    ):
        check_modules(bwrap, {"numpy": "numpy", "no_such_module": "no-such==1"})


def test_a_sandbox_that_does_not_start_is_no_wrong_code(bwrap, monkeypatch):
    monkeypatch.setattr(bwrap, "_bwrap", "/bin/false")
    with pytest.raises(EvaluationError, match="the sandbox bwrap does not start Python"):
        run_in(bwrap, "tell(1)", {}, bounds=BOUNDS)
    with pytest.raises(ConfigError, match="Code that a model has written runs nowhere else: install bubblewrap"):
        check_modules(bwrap, {})


def test_without_a_sandbox_nothing_runs(monkeypatch, tmp_path):
    monkeypatch.delenv("EC_AGENT_SANDBOX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"there is no sandbox for it: install bubblewrap .*EC_AGENT_SANDBOX=docker"):
        sandbox_in(None, None)
    with pytest.raises(ConfigError, match="there is no bwrap here; install bubblewrap"):
        sandbox_in("bwrap", None)
    with pytest.raises(ConfigError, match="there is no docker here"):
        sandbox_in("docker:an/image", None)


@pytest.mark.parametrize("named", ["none", "docker", "docker:", "bwrap:x", "local"])
def test_no_such_sandbox(named):
    with pytest.raises(ConfigError, match=r'give "bwrap" or "docker:IMAGE"'):
        sandbox_in(named, None)


def test_the_environment_names_it(monkeypatch, docker):
    monkeypatch.setenv("EC_AGENT_SANDBOX", "docker:an/image")
    monkeypatch.setenv("EC_AGENT_SANDBOX_PYTHON", "/opt/python")
    found = sandbox_in(None, None)
    assert found.name == "docker:an/image"
    assert found.command(BOUNDS, [], "a")[-3:] == ["--entrypoint", "/opt/python", "an/image"]


def test_docker_is_asked_for_a_closed_container(docker, tmp_path):
    found = sandbox_in("docker:an/image", None)
    assert run_in(found, "print('x'); tell(given['a'])", {"a": 7}, bounds=BOUNDS, folders=[tmp_path]) == 7
    words = docker()
    pairs = set(itertools.pairwise(words))
    assert {("--network", "none"), ("--cap-drop", "ALL"), ("--memory", str(2 << 30)), ("--pull", "never")} <= pairs
    assert ("--volume", f"{tmp_path}:{tmp_path}:ro") in pairs
    assert {"--read-only", "--rm"} <= set(words)
    assert words[words.index("--entrypoint") + 1 :][:2] == ["python3", "an/image"]


def test_a_container_whose_time_is_over_is_killed_by_its_name(docker):
    found = sandbox_in("docker:an/image", None)
    assert run_in(found, "import time; time.sleep(60)", {}, bounds=SandboxLimits(seconds=2.0)) is None
    words = docker()
    assert words[words.index("kill") + 1] == words[words.index("--name") + 1]
