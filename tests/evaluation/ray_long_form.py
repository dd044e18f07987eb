"""The long form of the tests on Ray: a head and three nodes on this machine, kills of all kinds, and some figures.

``make cluster`` runs it. It says what it found, and fails if a rollout was lost or doubled, or a bit differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]

import ray_agents  # noqa: E402
from eval_fakes import contents, tasks  # noqa: E402
from ray_cluster import running_cluster  # noqa: E402
from test_ray_evaluations import Driver  # noqa: E402

from ec_agent.engines import RayEngine  # noqa: E402
from ec_agent.evaluation.run_settings import RunSettings  # noqa: E402
from ec_agent.evaluation.runner import evaluate  # noqa: E402
from ec_agent.evaluation.work import Ended  # noqa: E402
from ec_agent.traces.sql.store import TraceStore  # noqa: E402
from ec_agent.traces.stored import Key  # noqa: E402

SETTINGS = RunSettings(n=4, seed=5, concurrency=12)


def same(one, other, what):
    left, right = contents(one), contents(other)
    assert len(left) == len({row[0] for row in left}) == len(right), f"{what}: lost or doubled"
    assert left == right, f"{what}: bits differ"
    return len(left)


def again(report, rollouts):
    return f"rollouts begun again: {report.lost.rollouts}; of {rollouts} stored none lost, none doubled"


def kills_of_workers(home, cluster, count):
    """Rollouts kill their worker in the middle, each once."""
    moments = random.Random(str(home))
    asked = [ray_agents.Deadly(f"task {place}", once=str(home)) for place in range(max(count // 2, 10))]
    keys = [Key(task.id, "sample", number) for task in asked for number in range(4)]
    for key in moments.sample(keys, count):
        task = next(task for task in asked if task.id == key.task)
        task.kills = [*task.kills, SETTINGS.seed_of(key)]
    engine = RayEngine(address=cluster.address, workers=3, per_worker=4, tries=12)
    report = evaluate(asked, "ray_agents:killing", home / "ray.db", SETTINGS, engine=engine)
    evaluate(asked, "ray_agents:killing", home / "here.db", SETTINGS)
    rollouts = same(home / "ray.db", home / "here.db", "kills of workers")
    print(f"{report.lost.workers} workers killed, {again(report, rollouts)}")


def kills_before_delivery(home, cluster, count):
    """Workers die when a rollout has ended, and before the driver has it."""
    asked = [ray_agents.DeadlyVerdict(f"task {place}", str(home)) for place in range(count)]
    engine = RayEngine(address=cluster.address, workers=3, per_worker=4, tries=12)
    report = evaluate(asked, "ray_agents:agent", home / "ray.db", SETTINGS, engine=engine)
    assert len(list(home.glob("*.mark"))) == count
    evaluate(asked, "ray_agents:agent", home / "here.db", SETTINGS)
    rollouts = same(home / "ray.db", home / "here.db", "kills before delivery")
    print(f"{count} kills between execution and delivery ({report.lost.workers} workers): {again(report, rollouts)}")


def kills_of_nodes(home, cluster, count):
    """Machines end, and others come."""
    ended, before = threading.Event(), cluster.killed

    def kill():
        for _ in range(count):
            if ended.wait(5):
                return
            cluster.kill_a_node()

    engine = RayEngine(address=cluster.address, workers=3, per_worker=4, num_cpus=1, tries=12)
    killer = threading.Thread(target=kill)
    asked = tasks(12 * count)
    killer.start()
    try:
        report = evaluate(asked, "ray_agents:slow", home / "ray.db", SETTINGS, engine=engine)
    finally:
        ended.set()
        killer.join()
    evaluate(asked, "ray_agents:agent", home / "here.db", SETTINGS, agent_name="ray_agents:slow")
    rollouts = same(home / "ray.db", home / "here.db", "kills of nodes")
    print(f"{cluster.killed - before} nodes killed, {again(report, rollouts)}")


def kills_of_drivers(home, cluster, count):
    """The command is killed at random moments, and goes on."""
    moments, kills = random.Random(str(home)), 0
    driver = Driver(home, cluster.address, "ray_agents:more_worlds", "--agent", "ray_agents:slow")
    total = 5 * len(ray_agents.more_worlds)
    while kills < count and len(driver.keys()) < total - 4:
        process = driver.start()
        until, before = time.monotonic() + 300, len(driver.keys())
        while len(driver.keys()) == before and time.monotonic() < until:
            time.sleep(moments.uniform(0.02, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL and before < len(driver.keys()) < total
    driver.to_its_end()
    evaluate(ray_agents.more_worlds, "ray_agents:slow", home / "here.db", RunSettings(n=4, seed=5, concurrency=24))
    rollouts = same(driver.out, home / "here.db", "kills of drivers")
    print(f"{kills} drivers killed in the middle of the run, {rollouts} rollouts stored: none lost")


def figures(home, cluster, _):
    """What the driver spends, what travels, and how long rollouts of a second take."""
    asked, slots = tasks(24), 8
    settings = RunSettings(n=8, seed=5, greedy=False, concurrency=slots)
    engine = RayEngine(address=cluster.address, workers=2, per_worker=slots // 2)
    marks = []

    def mark(progress):
        marks.append((time.monotonic(), time.process_time()))

    took = {}
    for name, where in (("Ray", engine), ("one process", None)):
        marks.clear()
        evaluate(asked, "ray_agents:second", home / f"{name}.db", settings, engine=where, on_progress=mark)
        first, last = marks[slots], marks[-1]  # from the first that ended to the last: workers are warm by then
        rollouts = len(marks) - 1 - slots
        took[name] = last[0] - first[0]
        cpu = 1000 * (last[1] - first[1]) / rollouts
        print(f"{name}: {rollouts} rollouts, {took[name]:.1f} s, {cpu:.1f} ms of the driver's CPU a rollout")
    print(f"wall on warm workers against one process, {slots} slots: {took['Ray'] / took['one process']:.2f}")
    print(f"bytes a token that travel: {bytes_a_token(home / 'long.db')}")


def bytes_a_token(path):
    import pickle
    from dataclasses import replace

    from ec_agent.numbers.trajectory import Trajectory

    evaluate(tasks(1), "ray_agents:long", path, RunSettings(n=1, greedy=False))
    with TraceStore(path) as store:
        (rollout,) = store.rollouts()
    whole = len(pickle.dumps(Ended(rollout)))
    without = Trajectory([replace(call, texts=None) for call in rollout.trajectory.calls])
    bare = len(pickle.dumps(Ended(replace(rollout, trajectory=without, final_action=None))))
    tokens = len(rollout.trajectory)
    return f"{whole / tokens:.1f}, without texts {bare / tokens:.1f} ({tokens} tokens)"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=120, help="workers that are killed in the middle of rollouts")
    parser.add_argument("--undelivered", type=int, default=40, help="workers that are killed with a finished rollout")
    parser.add_argument("--nodes", type=int, default=20, help="nodes that are killed")
    parser.add_argument("--drivers", type=int, default=20, help="drivers that are killed")
    parser.add_argument("--figures", type=int, default=1, help="0 leaves the figures out")
    chosen = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    with running_cluster(cpus=2, nodes=3, paths=[HERE]) as cluster:
        for part, count, at_once in (
            (figures, bool(chosen.figures), 1),
            (kills_of_workers, chosen.workers, 20),
            (kills_before_delivery, chosen.undelivered, 20),
            (kills_of_nodes, chosen.nodes, 5),
            (kills_of_drivers, chosen.drivers, 5),
        ):
            for done in range(0, count, at_once):
                with tempfile.TemporaryDirectory() as home:
                    os.chdir(home)
                    part(Path(home), cluster, min(at_once, count - done))
                    os.chdir(HERE)


if __name__ == "__main__":
    main()
