"""The acts of a run lie on one line, in whichever order those who resume it come, stop, die and come again."""

from __future__ import annotations

import random

import pytest
from langgraph.errors import GraphInterrupt

from ec_agent import CommitError, CommitUncertain, MemoryJournal, SQLiteJournal, settle_commit
from ec_agent.commits.at_most_once import Once
from ec_agent.commits.lineage import Level, PlaceInRun
from ec_agent.commits.runlog import RunLog
from ec_agent.support.plans import Step, drive


def at(checkpoint, *behind, place="solve@1", run="t/1"):
    return PlaceInRun(run, place, (Level("", checkpoint, frozenset(behind)),))


def once(journal, standing, **more):
    return Once(journal, log=RunLog(journal, standing), **more)


class Worker:
    """One who acts: its way is a list of (standing, step, calls)."""

    def __init__(self, name, journal, way, done, asks=False, task=None):
        self.name, self.journal, self.way, self.done, self.asks = name, journal, way, done, asks
        self.task = task or name  # two in the same task would use the same keys

    def plan(self):
        for standing, what, calls in self.way:
            own = once(self.journal, standing)
            keys = yield from own.enter(
                what, calls, [f"{self.task}/{standing.place}/{what}/{i}" for i in range(len(calls))]
            )
            for key, (tool, args) in zip(keys, calls, strict=True):
                act = Step(lambda tool=tool, args=args, key=key: self.act((tool, args), key), None)
                yield from own.plan(key, tool, args, act)

    def act(self, call, key):
        if self.asks:
            self.asks = False
            raise GraphInterrupt(())
        self.done.append((self.name, call, key))
        return "done"


def entered(journal, standing, calls, keys=("k",), what="0"):
    return drive(once(journal, standing).enter(what, calls, list(keys)))


def acted(journal, standing, calls, keys=("k",), what="0", **more):
    own = once(journal, standing, **more)
    for key, (tool, args) in zip(drive(own.enter(what, calls, list(keys))), calls, strict=True):
        drive(own.plan(key, tool, args, Step(lambda: "sent", None)))


ANN, BOB = [("send", "ann")], [("send", "bob")]


@pytest.fixture(params=["memory", "sqlite"])
def journal(request, tmp_path):
    return MemoryJournal() if request.param == "memory" else SQLiteJournal(tmp_path / "c.sqlite")


def test_a_step_has_its_own_keys_and_keeps_them(journal):
    for _ in range(3):
        assert entered(journal, at("a"), ANN, ["k"]) == ["k"]
    assert len(journal.read(RunLog(journal, at("a")).key)) == 1


def test_a_second_worker_gets_the_first_ones_keys(journal):
    assert entered(journal, at("a"), ANN, ["k"]) == ["k"]
    assert entered(journal, at("b"), ANN, ["other"]) == ["k"]


def test_steps_in_the_history_are_no_conflict(journal):
    acted(journal, at("a"), ANN, ["k"])
    assert entered(journal, at("b", "a", place="solve@2"), BOB, ["l"]) == ["l"]


def test_steps_beside_it_are_no_conflict(journal):
    acted(journal, at("a"), ANN, ["k"])
    assert entered(journal, at("a", place="other@1"), BOB, ["l"]) == ["l"]


@pytest.mark.parametrize("place", ["solve@1", "solve@2", "tools@1"])
def test_after_a_rivals_action_nothing_is_done(journal, place):
    acted(journal, at("a"), ANN, ["k"])
    with pytest.raises(CommitError, match=r"has carried out send\('ann'\).*send\('bob'\) would come in its place"):
        entered(journal, at("b", place=place), BOB, ["l"])
    assert journal.read("l") == []


def test_a_rivals_uncertain_action_is_named_with_its_key(journal):
    entered(journal, at("a"), ANN, ["k"])
    journal.claim("k", 0, {"tool": "send", "args": "'ann'", "at": 1.0, "by": "x"})
    with pytest.raises(CommitUncertain, match=r"has begun send\('ann'\).*settle_commit\(journal, 'k', ...\)") as caught:
        entered(journal, at("b"), BOB, ["l"])
    assert [each["key"] for each in caught.value.actions] == ["k"]
    settle_commit(journal, "k", None)
    assert entered(journal, at("b"), BOB, ["l"]) == ["l"]


def test_a_rivals_unbegun_action_is_closed_for_good(journal):
    entered(journal, at("a"), ANN, ["k"])
    assert entered(journal, at("b"), BOB, ["l"]) == ["l"]
    with pytest.raises(CommitError, match="went another way before send"):
        drive(once(journal, at("a")).plan("k", "send", "ann", Step(pytest.fail, None)))
    acted(journal, at("b"), BOB, ["l"])
    with pytest.raises(CommitError, match=r"has carried out send\('bob'\)"):
        entered(journal, at("a"), ANN, ["k"])


def test_two_steps_of_a_task_have_own_keys(journal):
    entered(journal, at("a"), ANN, ["k"])
    assert entered(journal, at("b"), BOB, ["k"]) != ["k"]
    acted(journal, at("b"), BOB, ["k"])
    acted(journal, at("c", "b", place="solve@2"), ANN, ["l"])
    assert journal.read("l")[-1].outcome["status"] == "done"


def test_going_back_while_a_tool_asks_makes_another_choice_possible(journal):
    own = once(journal, at("a"))
    drive(own.enter("0", ANN, ["k"]))

    def ask():
        raise GraphInterrupt(())

    with pytest.raises(GraphInterrupt):
        drive(own.plan("k", "send", "ann", Step(ask, None)))
    acted(journal, at("b"), BOB, ["k"])
    with pytest.raises(CommitError):
        drive(own.plan("k", "send", "ann", Step(pytest.fail, None)))


def test_a_worker_goes_on_from_a_taken_outcome(journal):
    acted(journal, at("a"), ANN, ["k"])
    acted(journal, at("c", "a", place="solve@2"), BOB, ["l"])
    acted(journal, at("b"), ANN, ["m"])
    acted(journal, at("d", "b", place="solve@2"), BOB, ["n"])
    acted(journal, at("e", "b", "d", place="solve@3"), ANN, ["o"])
    assert journal.read("m") == journal.read("n") == []
    with pytest.raises(CommitError):
        entered(journal, at("f", "a", "c", place="solve@3"), BOB, ["p"])


def test_another_run_of_the_thread_is_no_conflict(journal):
    acted(journal, at("a"), ANN, ["k"])
    assert entered(journal, at("a", run="t/2"), BOB, ["l"]) == ["l"]


def ways(dice):
    """Two or three who resume a run: at the same or another place, for the same or another act, once or twice."""
    found = []
    for name in "abc"[: dice.choice((2, 2, 3))]:
        way, behind = [], []
        for number in range(dice.choice((1, 2))):
            here = f"{name}{number}"
            calls = [("send", dice.choice(["ann", "ann", "bob"])) for _ in range(dice.choice((1, 1, 2)))]
            way.append((at(here, *behind, place=f"{dice.choice(['solve', 'solve', 'tools'])}@{number}"), "0", calls))
            behind.append(here)
        found.append((name, way))
    return found


@pytest.mark.parametrize("seed", range(300))
def test_any_order_of_steps_gives_one_history(seed):
    """Each step of the journal is one turn; who acts may stop to ask, or die, and come again."""
    dice = random.Random(seed)
    journal, done = MemoryJournal(), []
    task = dice.choice([None, "t"])
    workers = [Worker(name, journal, way, done, dice.random() < 0.3, task) for name, way in ways(dice)]
    running = {worker: worker.plan() for worker in workers}
    lives = dict.fromkeys(workers, 4)
    steps = dict.fromkeys(workers)
    while running:
        worker = dice.choice(list(running))
        plan = running[worker]
        try:
            step = plan.send(steps[worker])
            try:
                steps[worker] = step.sync()
            except GraphInterrupt as error:
                plan.throw(error)
            if dice.random() < 0.03:
                raise InterruptedError  # it dies here, whatever it was about to do
        except (StopIteration, CommitError):
            del running[worker]
        except (InterruptedError, GraphInterrupt):
            del running[worker]
            lives[worker] -= 1
            if lives[worker]:
                running[worker], steps[worker] = worker.plan(), None
    assert len({key for _, _, key in done}) == len(done), "a key was used twice"
    check_one_line(workers, done)


def check_one_line(workers, done):
    """There is one of them whose way has all that was done, each as often as the way has it."""
    acts = sorted(call for _, call, _ in done)

    def has_all(worker):
        calls = [call for _, _, calls in worker.way for call in calls]
        return all(acts.count(call) <= calls.count(call) for call in acts)

    assert any(has_all(worker) for worker in workers), (acts, [worker.way for worker in workers])


def test_a_half_done_step_blocks_other_steps():
    journal = MemoryJournal()
    acted(journal, at("a"), [*ANN, *BOB], ["k", "l"])
    for calls in (ANN, BOB, [*BOB, *ANN], [*ANN, *BOB, *BOB]):
        with pytest.raises(CommitError):
            entered(journal, at("b"), calls, ["m", "n", "o"][: len(calls)])
