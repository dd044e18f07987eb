"""A Ray cluster on this machine, in a process of its own: it ends with its standard input, however the tests end."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

START = 120  # seconds that a cluster may take to start

RAY = {
    "RAY_AUTH_MODE": "disabled",  # else it writes a token into the home of whoever runs the tests
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # else other tests, which run beside, go before the workers
    "RAY_raylet_start_wait_time_s": "100",
    "RAY_agent_register_timeout_ms": "100000",
}


FAULTS = {
    *("AttributeError", "FileNotFoundError", "ImportError", "KeyError", "ModuleNotFoundError", "NameError"),
    *("TypeError", "ValueError"),
}
"""Errors at the end of a log that are not the machine's: the tests are wrong, or another Ray is started otherwise."""


class Cluster:
    """A cluster that runs in another process.

    Attributes:
        address: of its head.
        killed: how many of its nodes were killed.
    """

    def __init__(self, address, process):
        self.address, self.killed = address, 0
        self._process = process

    def kill_a_node(self):
        """End a node with all its workers, and start another."""
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "killed\n"
        self.killed += 1


def did_not_start(log):
    """Leave the test out: Ray does not start on every machine. Fail it where Ray is started wrongly.

    Args:
        log: what the process wrote that was to start it.
    """
    leave = pytest.fail if log.strip().rpartition("\n")[2].partition(":")[0] in FAULTS else pytest.skip
    leave(f"Ray cannot start here: {log[-300:]}")


@contextlib.contextmanager
def running_cluster(cpus=4, nodes=0, paths=()):
    """A cluster. Skips the test where Ray is not installed, or cannot start on this machine.

    Args:
        cpus: of each node.
        nodes: how many beside the head, which then takes no workers.
        paths: folders from which workers import.
    """
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'ec-agent[ray]'")
    # Ray writes an address into this folder, and does not make it where a cluster has another one for the rest.
    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)
    os.environ.update(RAY)  # for drivers in this process too; Ray reads them when it is imported
    here = Path(__file__).parent
    search = os.pathsep.join([str(here.parent), *map(str, paths), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            [sys.executable, str(here / "ray_cluster.py"), json.dumps({"cpus": cpus, "nodes": nodes, "home": home})],
            env={**os.environ, "PYTHONPATH": search},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(log := Path(home, "log")).open("w"),
            text=True,
            start_new_session=True,  # Ctrl-C goes to the tests, which then stop the cluster in order
        )
        try:
            said = process.stdout.readline()
            if not said.startswith("ready "):
                did_not_start(log.read_text())
            yield Cluster(said.split()[1], process)
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _ports(count):
    """Free ports. Where Ray looks for them itself, its agents report them, on slow machines too late for it."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _main(cpus, nodes, home):
    signal.alarm(START)  # ends this process if the cluster hangs while it starts
    from ray.cluster_utils import Cluster as Nodes

    agents = ("metrics_agent_port", "runtime_env_agent_port", "dashboard_agent_listen_port")
    common = {"num_cpus": cpus, "object_store_memory": 80_000_000}

    def ports():
        return dict(zip(agents, _ports(len(agents)), strict=True))

    head = {**common, **ports(), "temp_dir": home, "include_dashboard": False, "num_cpus": 0 if nodes else cpus}
    cluster = Nodes(initialize_head=True, head_node_args=head)
    for _ in range(nodes):
        cluster.add_node(**common, **ports())
    signal.alarm(0)
    print("ready", cluster.address, flush=True)
    for line in sys.stdin:  # "kill": a node ends, as its machine would, and another comes
        if line.strip() == "kill":
            cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
            cluster.add_node(**common, **ports())
            print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
