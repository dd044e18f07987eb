"""The long form of the tests on Ray: a head and three nodes on this machine, kills of all kinds, and some figures.

``make cluster`` runs it, and it ends within an hour and a quarter whatever happens. It says what it found, and fails if
a rollout was lost or doubled, a bit differs, or something was committed twice. ``--only nodes`` runs one part.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]

import ray_agents  # noqa: E402
from eval_fakes import contents, rollouts, tasks  # noqa: E402
from ray_cluster import running_cluster  # noqa: E402
from ray_questions_killed import kills_of_questions  # noqa: E402
from test_ray_evaluations import Driver  # noqa: E402

from ec_agent.engines import RayEngine  # noqa: E402
from ec_agent.evaluation.run_settings import RunSettings  # noqa: E402
from ec_agent.evaluation.runner import evaluate  # noqa: E402
from ec_agent.evaluation.work import Ended  # noqa: E402
from ec_agent.traces.sql.store import TraceStore  # noqa: E402
from ec_agent.traces.stored import Key  # noqa: E402

SETTINGS = RunSettings(n=4, seed=5, concurrency=12)
WAIT = 600.0  # seconds that the cluster, a node or a worker has to start: on a busy machine they take long


def same(one, other, what):
    """How many rollouts both stores have; they must not differ."""
    left, right = contents(one), contents(other)
    assert len(left) == len({row[0] for row in left}) == len(right), f"{what}: lost or doubled"
    assert left == right, f"{what}: bits differ"
    return len(left)


def found(kills, stored, again):
    return Counter({"kills": kills, "rollouts stored": stored, "begun again": again})


def kills_of_workers(home, cluster, count):
    """Rollouts kill their worker in the middle, each once."""
    moments = random.Random(str(home))
    asked = [ray_agents.Deadly(f"task {place}", once=str(home)) for place in range(max(count // 2, 10))]
    keys = [Key(task.id, "sample", number) for task in asked for number in range(4)]
    for key in moments.sample(keys, count):
        task = next(task for task in asked if task.id == key.task)
        task.kills = [*task.kills, SETTINGS.seed_of(key)]
    engine = RayEngine(address=cluster.address, workers=3, per_worker=4, tries=12, wait=WAIT)
    report = evaluate(asked, "ray_agents:killing", home / "ray.db", SETTINGS, engine=engine)
    evaluate(asked, "ray_agents:killing", home / "here.db", SETTINGS)
    return found(report.lost.workers, same(home / "ray.db", home / "here.db", "workers"), report.lost.rollouts)


def kills_before_delivery(home, cluster, count):
    """Workers die when a rollout has ended, and before the driver has it."""
    asked = [ray_agents.DeadlyVerdict(f"task {place}", str(home)) for place in range(count)]
    engine = RayEngine(address=cluster.address, workers=3, per_worker=4, tries=12, wait=WAIT)
    report = evaluate(asked, "ray_agents:agent", home / "ray.db", SETTINGS, engine=engine)
    marks = len(list(home.glob("*.mark")))
    assert marks == count, f"{marks} of {count} verdicts killed"
    evaluate(asked, "ray_agents:agent", home / "here.db", SETTINGS)
    return found(report.lost.workers, same(home / "ray.db", home / "here.db", "undelivered"), report.lost.rollouts)


def kills_of_nodes(home, cluster, count):
    """Machines end, each with one worker, and others come. A machine ends when rollouts were stored since the last."""
    news, stored, over, failed = threading.Condition(), [0], threading.Event(), []
    before = cluster.killed

    def heard(progress):
        with news:
            stored[0] = progress.stored
            news.notify()

    def kill():
        try:
            for _ in range(count):
                with news:
                    seen = stored[0]
                    news.wait_for(lambda seen=seen: over.is_set() or stored[0] > seen + 4)
                if over.is_set():
                    return
                cluster.kill_a_node()
        except BaseException as error:
            failed.append(error)

    engine = RayEngine(address=cluster.address, workers=3, per_worker=4, num_cpus=2, tries=12, wait=WAIT)
    asked = tasks(12 * count)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        report = evaluate(asked, "ray_agents:slower", home / "ray.db", SETTINGS, engine=engine, on_progress=heard)
    finally:
        with news:
            over.set()
            news.notify()
        killer.join()
    if failed:
        raise failed[0]
    evaluate(asked, "ray_agents:agent", home / "here.db", SETTINGS, agent_name="ray_agents:slower")
    together = same(home / "ray.db", home / "here.db", "nodes")
    return found(cluster.killed - before, together, report.lost.rollouts) + Counter(workers=report.lost.workers)


def kills_of_drivers(home, cluster, count):
    """The command is killed at random moments, and goes on. What it had stored stays as it is."""
    moments, kills, kept = random.Random(str(home)), 0, {}
    driver = Driver(home, cluster.address, "ray_agents:more_worlds", "--agent", "ray_agents:slow")
    total = 5 * len(ray_agents.more_worlds)
    while kills < count and len(driver.keys()) < total - 4:
        process = driver.start()
        until, before = time.monotonic() + WAIT, len(driver.keys())
        while len(driver.keys()) == before and time.monotonic() < until:
            time.sleep(moments.uniform(0.02, 0.5))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert before < len(driver.keys()), f"a driver has stored nothing in {WAIT:g} s: {errors[-2000:]}"
        kills += process.returncode == -signal.SIGKILL and len(driver.keys()) < total
        kept |= {rollout.key: rollout.started for rollout in _all(driver.out)}
    driver.to_its_end()
    assert kept.items() <= {each.key: each.started for each in _all(driver.out)}.items(), "drivers: done again"
    again = len(list(home.glob("*.world")))  # worlds that nobody could leave
    evaluate(ray_agents.more_worlds, "ray_agents:slow", home / "here.db", RunSettings(n=4, seed=5, concurrency=24))
    return found(kills, same(driver.out, home / "here.db", "drivers"), again)


def _all(path):
    return [*rollouts(path), *rollouts(path, "greedy")]


def figures(home, cluster, _):
    """What the driver spends, what travels, and how long rollouts of a second take."""
    asked, slots = tasks(24), 8
    settings = RunSettings(n=8, seed=5, greedy=False, concurrency=slots)
    engine = RayEngine(address=cluster.address, workers=2, per_worker=slots // 2, wait=WAIT)
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
    return Counter()


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


PARTS = {
    "figures": (figures, 1, 1, "what rollouts cost; 0 leaves it out"),
    "workers": (kills_of_workers, 100, 20, "workers that are killed in the middle of rollouts"),
    "undelivered": (kills_before_delivery, 40, 20, "workers that are killed with a finished rollout"),
    "nodes": (kills_of_nodes, 20, 5, "nodes that are killed"),
    "drivers": (kills_of_drivers, 20, 5, "drivers that are killed, and go on"),
    "commits": (kills_of_questions, 21, 21, "of workers, nodes and drivers of questions that commit, a third each"),
}
"""By name: what is run, how many kills there are, how many of them in a round, and what they are."""


FINE = "none lost, none doubled"


class TooLongError(KeyboardInterrupt):
    """The time is over. What runs ends as by Ctrl-C, which no event loop keeps to itself."""


@contextlib.contextmanager
def at_most(minutes):
    """End what runs in the block after that time, and the process if it does not end then; it says where it hung."""

    def ring(*_):
        raise TooLongError(f"not over after {minutes:g} minutes")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    faulthandler.dump_traceback_later(60 * minutes + 120, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def played(name, count, cluster, total):
    """Run a part in rounds, until there were so many kills; add up what was found."""
    part, _, at_once, _ = PARTS[name]
    for _ in range(2 * count):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            os.chdir(home)
            begun = time.monotonic()
            try:
                total += part(Path(home), cluster, min(at_once, count - total["kills"]))
            finally:
                os.chdir(HERE)
            total["seconds"] += round(time.monotonic() - begun)
        if name == "figures" or total["kills"] >= count:
            return


def outcome(name, count, cluster, total):
    """Play a part; how it ended, in words. If it failed the other parts have something to say, too."""
    try:
        played(name, count, cluster, total)
    except TooLongError:
        raise
    except Exception as error:
        traceback.print_exc()
        return f"FAILED: {error}"
    return FINE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be repeated")
    parser.add_argument("--minutes", type=float, default=75, help="all of it is ended after so many")
    for name, (_, count, _, about) in PARTS.items():
        parser.add_argument(f"--{name}", type=int, default=count, help=f"{about} ({count})")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    totals = {name: Counter() for name in given.only or PARTS if getattr(given, name)}
    ended = dict.fromkeys(totals, "not run")
    try:
        with at_most(given.minutes), running_cluster(cpus=2, nodes=3, paths=[HERE], start=WAIT) as cluster:
            for name, total in totals.items():
                ended[name] = "NOT OVER"
                ended[name] = outcome(name, getattr(given, name), cluster, total)
    finally:  # at the end, for Ray writes much between
        for name, total in totals.items():
            print(f"{name}: {', '.join(f'{amount} {what}' for what, amount in total.items())}; {ended[name]}")
    sys.exit(any(each != FINE for each in ended.values()))


if __name__ == "__main__":
    main()
