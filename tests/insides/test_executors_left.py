"""What ``ec_agent/insides/executors.py`` relies on of two executors of others, and what it makes of them."""

from __future__ import annotations

import threading
from concurrent.futures import wait

import pytest
from langchain_core.runnables.config import ContextThreadPoolExecutor, get_executor_for_config
from langgraph.pregel._executor import BackgroundExecutor

from ec_agent.insides.executors import RunLeft, executors_here, interruptible, uninterrupted, wake
from ec_agent.support.plans import drive


def background():
    return BackgroundExecutor({})


def pool():
    return ContextThreadPoolExecutor()


def started(executor, work):
    """What ``executor``, entered, is to do."""
    submit = executor if callable(executor) else executor.submit
    return submit(work)


def mapped(executor, work):
    next(iter(executor.map(lambda _: work(), [0])), None)


class Probe:
    """Work that goes on until it is told that it was left."""

    def __init__(self, patience=20):
        self.begun = threading.Event()
        self.told = None
        self._patience = patience

    def __call__(self):
        around = executors_here()
        self.begun.set()
        for _ in range(self._patience * 100):
            if around.left:
                break
            threading.Event().wait(0.01)
        self.told = around.left


def leave(executor, probe, error):
    with executor as entered:
        started(entered, probe)
        probe.begun.wait(20)
        raise error


@pytest.mark.parametrize("make", [background, pool])
@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, LookupError])
def test_work_in_an_executor_knows_when_it_is_left(make, error):
    probe = Probe()
    with pytest.raises(error):
        leave(make(), probe, error)
    assert probe.told is True


@pytest.mark.parametrize("make", [background, pool])
def test_an_executor_that_ends_is_not_left(make):
    probe = Probe(patience=1)
    with make() as entered:
        started(entered, probe)
    assert probe.told is False


@pytest.mark.parametrize("inner", [background, pool])
def test_threads_of_its_threads_know_too(inner):
    probe = Probe()

    def nested():
        with inner() as entered:
            started(entered, probe)

    with pytest.raises(LookupError):
        leave_when(probe, nested)
    assert probe.told is True


def leave_when(probe, work):
    with background() as submit:
        submit(work)
        probe.begun.wait(20)
        raise LookupError


def test_mapped_work_knows_too():
    probe = Probe()

    def nested():
        with get_executor_for_config({}) as entered:
            mapped(entered, probe)

    with pytest.raises(LookupError):
        leave_when(probe, nested)
    assert probe.told is True


def test_work_that_outlives_it_is_unaffected():
    found = []
    with pool() as outer:
        with pytest.raises(LookupError):
            leave_with(lambda: found.append(executors_here()))
        outer.submit(found[0].check).result()


def leave_with(work):
    with background() as submit:
        wait([submit(work)])
        raise LookupError


def test_an_action_is_not_stopped():
    probe = Probe(patience=1)

    def act():
        with uninterrupted():
            probe()

    with pytest.raises(LookupError):
        leave_when(probe, act)
    assert probe.told is False


def test_the_main_thread_delegates_its_work():
    assert interruptible(threading.current_thread) is not threading.main_thread()
    with pytest.raises(LookupError, match="as it is"):
        interruptible(lambda: (_ for _ in ()).throw(LookupError("as it is")))
    with pool() as other:
        here = other.submit(lambda: interruptible(threading.current_thread) is threading.current_thread())
        assert here.result() is True


def test_a_question_in_a_left_run_is_refused():
    found = []
    with pytest.raises(LookupError):
        leave_when_done(found)
    with pytest.raises(RunLeft, match="run it again"):
        raise found[0]


def leave_when_done(found):
    begun = threading.Event()

    def ask():
        begun.set()
        around = executors_here()
        while not around.left:
            threading.Event().wait(0.01)
        try:
            around.check()
        except RunLeft as error:
            found.append(error)

    with background() as submit:
        submit(ask)
        begun.wait(20)
        raise LookupError


def test_a_pause_ends_at_once_when_it_is_over():
    over = threading.Event()

    def paused():
        yield executors_here().pause(60, over.is_set)
        return over.is_set()

    with background() as submit:
        waiting = submit(lambda: drive(paused()))
        over.set()
        wake()
        assert waiting.result(20)
