"""A Ray cluster on this machine, in a process of its own: it ends with its standard input, however the tests end."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

START = 120  # seconds that a cluster may take to start

RAY = {
    "RAY_AUTH_MODE": "disabled",  # else it writes a token into the home of whoever runs the tests
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # else other tests, which run beside, go before the workers
    "RAY_prestart_worker_first_driver": "0",  # else each driver has every node start workers, of which one is taken
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

    def __init__(self, address, process, log):
        self.address, self.killed = address, 0
        self._process, self._log = process, log

    def kill_a_node(self, node=""):
        """End a node with all its workers, and start another. It returns when the other one is there.

        Args:
            node: its id; without it, the one that has been there longest, so that workers have settled on it.
        """
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"kill {node}\n")
            self._process.stdin.flush()
        if self._process.stdout.readline() != "killed\n":
            status = self._process.wait(timeout=60)
            raise RuntimeError(f"no node was killed, the cluster has ended with {status}:\n{self.log()[-2000:]}")
        self.killed += 1

    def log(self):
        """What the process wrote that holds the cluster."""
        return self._log.read_text(errors="replace")


def did_not_start(log):
    """Leave the test out: Ray does not start on every machine. Fail it where Ray is started wrongly.

    Args:
        log: what the process wrote that was to start it.
    """
    leave = pytest.fail if log.strip().rpartition("\n")[2].partition(":")[0] in FAULTS else pytest.skip
    leave(f"Ray cannot start here: {log[-300:]}")


@contextlib.contextmanager
def running_cluster(cpus=4, nodes=0, paths=(), start=START):
    """A cluster. Skips the test where Ray is not installed, or cannot start on this machine.

    Args:
        cpus: of each node.
        nodes: how many beside the head, which then takes no workers.
        paths: folders from which workers import.
        start: seconds that it may take to start, and a node to be replaced; if it takes longer, its log says where.
    """
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'ec-agent[ray]'")
    # Ray writes an address into this folder, and does not make it where a cluster has another one for the rest.
    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)
    os.environ.update(RAY)  # for drivers in this process too; Ray reads them when it is imported
    here = Path(__file__).parent
    wanted = {"cpus": cpus, "nodes": nodes, "start": start}
    search = os.pathsep.join([str(here.parent), *map(str, paths), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as home:
        log = Path(home, "log")
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, str(here / "ray_cluster.py"), json.dumps({**wanted, "home": home})],
                env={**os.environ, "PYTHONPATH": search},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C goes to the tests, which then stop the cluster in order
            )
        try:
            said = process.stdout.readline()
            if not said.startswith("ready "):
                did_not_start(log.read_text())
            yield Cluster(said.split()[1], process, log)
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            process.stdout.close()


def _free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


UNUSED = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
"""Ports of agents that are not needed: -1 is what those write that have nothing to offer."""


def _patient(seconds):
    """Have Ray wait so long for a node to start. Its own limits are few seconds on a busy machine, and cannot be set.

    A raylet aborts when its agents have not written their ports into files after 15 seconds. So they are there from the
    beginning. And a node has to be known to the cluster after 30 seconds; after that Ray fails, and leaves the node.
    """
    from ray._private import services
    from ray._private.node import Node
    from ray._raylet import get_port_filename

    begin, ask, begun = Node.start_ray_processes, services.get_node, []

    def start(node):
        ports = {**dict.fromkeys(UNUSED, -1), "runtime_env_agent_port": node._ray_params.runtime_env_agent_port}
        for name, port in ports.items():
            Path(node.get_session_dir_path(), get_port_filename(node.node_id, name)).write_text(str(port))
        begin(node)
        begun.append(node)

    def asked(*where):
        until = time.monotonic() + seconds
        while True:
            try:
                return ask(*where)
            except RuntimeError as error:  # not known yet
                if time.monotonic() > until or not begun[-1].remaining_processes_alive():
                    raise TimeoutError("a node has ended before it was known; its raylet's log says why") from error
            time.sleep(0.2)

    Node.start_ray_processes, services.get_node = start, asked


@contextlib.contextmanager
def _within(seconds):
    """End this process if the block takes longer, and say where it was."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def _main(cpus, nodes, home, start):
    from ray.cluster_utils import Cluster as Nodes

    _patient(start)

    def common():
        return {"num_cpus": cpus, "object_store_memory": 80_000_000, "runtime_env_agent_port": _free_port()}

    with _within(start):
        head = {**common(), "temp_dir": home, "include_dashboard": False, "num_cpus": 0 if nodes else cpus}
        cluster = Nodes(initialize_head=True, head_node_args=head)
        there = [cluster.add_node(wait=False, **common()) for _ in range(nodes)]
    print("ready", cluster.address, flush=True)
    for line in sys.stdin:  # "kill", perhaps with an id: a node ends, as its machine would, and another comes
        with _within(start):
            what, *ids = line.split()
            assert what == "kill"
            node = next((node for node in there if node.node_id in ids), there[0])
            there.remove(node)
            cluster.remove_node(node, allow_graceful=False)
            there.append(cluster.add_node(wait=False, **common()))
        print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
