"""Workers that die: nothing is lost, nothing is delivered twice, and what was lost is told. Without Ray."""

from __future__ import annotations

import asyncio
import pickle
import random
import re
import threading
import warnings
from concurrent.futures import CancelledError

import pytest
from fake_cluster import FakeCluster

from ec_agent.engines import ray_pool, ray_worker
from ec_agent.engines.base import Job, Lost
from ec_agent.engines.ray_pool import Pool
from ec_agent.errors import CaptureWarning, ConfigError, EvaluationError, ProgressWarning, WorkerLostError

RAN = []
"""Every piece that was begun, in this process, where the fake workers are."""

HERE = {"code": "one"}
KILLS = {}
"""By piece: what is done while it runs. It may kill the worker."""

HELD = set()
"""Pieces that do not come to their ends."""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(ray_worker, "_IDLE", 0.05)  # seconds that a killed worker's thread waits for news
    monkeypatch.setattr(ray_pool, "_SOON", 0.01)
    monkeypatch.setattr(ray_pool, "POLLS", 1_000)
    HELD.clear()
    RAN.clear()
    KILLS.clear()
    HERE["code"] = "one"


class Doubling:
    """Work: a piece's number twice, after a wait; ``tell`` hears of a call of ten tokens."""

    def __init__(self, delay=0.0):
        self.delay = delay

    def prepared(self, subject):
        return subject

    async def run(self, prepared, piece, tell):
        RAN.append(piece)
        if tell is not None and not isinstance(piece, Stoppable):
            tell({"type": "call", "calls": 1, "tokens": 10})
        if isinstance(piece, Stoppable):
            await piece.end(tell)
            return 2 * piece.text
        await asyncio.sleep(self.delay)
        while piece in HELD:
            await asyncio.sleep(0.005)
        if piece in KILLS:
            await KILLS[piece]()
        if prepared == "fails":
            raise EvaluationError(f"piece {piece} failed")
        if prepared == "exits":
            raise SystemExit(3)
        if prepared == "odd":
            raise OddError("needs", "two")
        if prepared == "warns":
            warnings.warn("no logprobs", CaptureWarning, stacklevel=1)
        return 2 * piece


class Stoppable:
    """A piece that ends when it is stopped."""

    def __init__(self, text):
        self.text, self.stopped = text, threading.Event()

    def __reduce__(self):
        return type(self), (self.text,)

    def stop(self):
        self.stopped.set()

    async def end(self, tell):
        while not self.stopped.is_set():
            await asyncio.sleep(0.005)


class Talkative(Stoppable):
    """A piece that tells so many events, with pauses, the last one as it ends."""

    def __init__(self, count):
        self.count, self.text = count, f"{count} events"

    def __reduce__(self):
        return type(self), (self.count,)

    async def end(self, tell):
        for at in range(self.count):
            tell({"at": at})
            if at % 7 == 0:
                await asyncio.sleep(0.01)


class OddError(Exception):
    """Cannot be unpickled, as many errors of others."""

    def __init__(self, one, two):
        super().__init__(one)


def look(delay=0.0):
    return dict(HERE)


class Opened:
    """A pool that is open."""

    def __init__(self, *, workers=2, per_worker=3, tries=3, wait=20.0, delay=0.0, rooms=100, **told):
        self.job = Job(make=Doubling, look=look, arguments=(delay,), **told)
        self.cluster = FakeCluster(self.job, per_worker, rooms)
        self.pool = Pool(self.job, self.cluster, workers=workers, per_worker=per_worker, tries=tries, wait=wait)

    async def __aenter__(self):
        try:
            await self.pool.open()
        except BaseException:
            await self.pool.close()
            raise
        return self

    async def __aexit__(self, *_):
        await self.pool.close()

    async def run(self, *pieces, about="a task"):
        ran = [self.pool.run(self.pool.prepared(about), piece) for piece in pieces]
        return await asyncio.gather(*ran, return_exceptions=True)

    async def killed_while_held(self, *pieces):
        """Run the pieces, and kill a worker while all of them run; what they gave."""
        HELD.update(pieces)
        running = asyncio.ensure_future(self.run(*pieces))
        while len(RAN) < len(pieces):
            await asyncio.sleep(0.005)
        self.cluster.actors[0].kill()
        HELD.clear()
        return await running

    def on(self, piece):
        """The actor that runs a piece."""
        (hand,) = [h for h in self.pool._hands if any(sent.piece == piece for sent in h.running.values())]
        return hand.actor

    def killing(self, piece):
        """The piece kills its worker whenever it runs."""
        loop = asyncio.get_running_loop()

        async def kill():
            loop.call_soon_threadsafe(lambda: self.on(piece).kill())
            await asyncio.sleep(30)

        KILLS[piece] = kill


async def test_every_worker_has_as_many_as_it_may_and_gives_what_the_work_gives():
    async with Opened(delay=0.05) as opened:
        assert opened.pool.slots == 6
        assert await opened.run(*range(20)) == [2 * piece for piece in range(20)]
        assert [actor.most for actor in opened.cluster.actors] == [3, 3]
        assert opened.pool.lost == Lost()
    assert not opened.cluster.living


async def test_a_worker_that_dies_once_loses_nothing():
    async with Opened() as opened:
        assert await opened.killed_while_held(*range(6)) == [2 * piece for piece in range(6)]
        assert (opened.pool.lost.workers, opened.pool.lost.rollouts) == (1, 3)
        assert len(RAN) == 9
        assert len(opened.cluster.living) == 2


async def test_what_was_ready_and_not_delivered_runs_again_and_counts_once():
    async with Opened(workers=1, per_worker=1) as opened:
        opened.cluster.undelivered.add("run")
        assert await opened.run(4) == [8]
        assert RAN == [4, 4]
        assert opened.pool.lost.rollouts == 1


async def test_a_piece_that_kills_its_worker_each_time_fails_alone():
    async with Opened(workers=2, per_worker=4, delay=0.05) as opened:
        opened.killing(5)
        ran = await opened.run(*range(12))
        assert isinstance(ran.pop(5), WorkerLostError)
        assert ran == [2 * piece for piece in range(12) if piece != 5]
        assert RAN.count(5) == 3
        assert opened.pool.lost.workers == 3
        assert await opened.run(1) == [2]


async def test_two_that_kill_take_no_other_with_them():
    async with Opened(workers=1, per_worker=6, delay=0.05) as opened:
        opened.killing(0)
        opened.killing(1)
        ran = await opened.run(*range(6))
        assert [type(each) for each in ran[:2]] == [WorkerLostError, WorkerLostError]
        assert ran[2:] == [4, 6, 8, 10]


async def test_what_lost_rollouts_had_generated_is_told_as_far_as_it_is_known():
    async with Opened(workers=1, per_worker=2) as opened:
        HELD.update((1, 2))
        running = asyncio.ensure_future(opened.run(1, 2))
        (hand,) = opened.pool._hands
        while sum(sent.tokens for sent in hand.running.values()) < 20:
            await asyncio.sleep(0.01)
        hand.actor.kill()
        HELD.clear()
        assert await running == [2, 4]
        assert opened.pool.lost == Lost(workers=1, rollouts=2, calls=2, tokens=20)


async def test_an_idle_worker_that_dies_is_replaced_and_costs_no_try():
    async with Opened(workers=1, per_worker=1) as opened:
        opened.cluster.actors[0].kill()
        while len(opened.cluster.actors) < 2:
            await asyncio.sleep(0.01)
        assert await opened.run(3) == [6]
        assert opened.pool.lost == Lost(workers=1)
        assert RAN == [3]


async def test_two_hundred_kills_at_random_moments():
    moments = random.Random("kills of workers")
    async with Opened(workers=4, per_worker=3, tries=60, delay=0.01) as opened:
        kills = 0

        async def killing():
            nonlocal kills
            while kills < 200:
                await asyncio.sleep(moments.uniform(0, 0.02))
                if ready := [h.actor for h in opened.pool._hands if h.running and h.actor in opened.cluster.living]:
                    moments.choice(ready).kill()
                    kills += 1

        killer = asyncio.ensure_future(killing())
        got = []
        while not killer.done():
            pieces = range(len(got), len(got) + 24)
            got += await opened.run(*pieces)
        assert got == [2 * piece for piece in range(len(got))]
        assert opened.pool.lost.workers == 200
        assert 100 <= len(RAN) - len(got) <= opened.pool.lost.rollouts  # some died before they had begun


@pytest.mark.parametrize(
    ("about", "error", "said"),
    [
        ("fails", EvaluationError, "piece 1 failed"),
        ("exits", SystemExit, "3"),
        ("odd", EvaluationError, "OddError: needs; it was raised on a worker"),
    ],
)
async def test_what_the_work_raises_is_raised_here(about, error, said):
    async with Opened() as opened:
        prepared = opened.pool.prepared(about)
        with pytest.raises(error, match=re.escape(said)) as caught:
            await opened.pool.run(prepared, 1)
        assert RAN == [1]
        if about == "fails":
            assert "in run" in caught.value.__notes__[0]
        assert await opened.run(2) == [4]


async def test_warnings_of_workers_are_given_here():
    async with Opened() as opened:
        with pytest.warns(CaptureWarning, match="no logprobs"):
            await opened.run(1, about="warns")


async def test_events_are_told_here_with_their_pieces_and_before_the_result():
    told = []
    async with Opened(on_event=lambda piece, event: told.append((piece, event["tokens"]))) as opened:
        await opened.run(1, 2)
        assert sorted(told) == [(1, 10), (2, 10)]


async def test_an_observer_that_fails_is_not_told_again_and_costs_nothing():
    told = []

    def failing(piece, event):
        told.append(piece)
        raise KeyError("no such row")

    async with Opened(on_event=failing) as opened:
        with pytest.warns(ProgressWarning, match="on_event failed .KeyError.'no such row'.. and is not called again"):
            assert await opened.run(1, 2) == [2, 4]
        assert len(told) == 1


async def test_a_worker_with_other_code_gets_no_piece():
    opened = Opened()
    HERE["code"] = "another"
    with pytest.raises(ConfigError, match="do not have what the driver has: code is another there, and one here"):
        async with opened:
            pass
    assert RAN == []
    assert not opened.cluster.living


async def test_a_replacement_with_other_code_ends_the_run():
    async with Opened(workers=1, per_worker=2) as opened:
        HERE["code"] = "another"
        assert {type(each) for each in await opened.killed_while_held(1, 2)} == {ConfigError}


async def test_workers_for_which_there_is_no_room_are_refused():
    opened = Opened(workers=3, rooms=2, wait=0.5)
    with pytest.raises(ConfigError, match=r"2 of 3 workers had started after 0.5 s; the cluster has 2 rooms. Ask for"):
        async with opened:
            pass
    assert not opened.cluster.living


async def test_workers_that_die_while_they_start_are_tried_again_and_then_refused():
    opened = Opened(workers=1)
    opened.cluster.stillborn = {0, 1}
    async with opened:
        assert await opened.run(1) == [2]
    opened = Opened(workers=1)
    opened.cluster.stillborn = {0, 1, 2}
    with pytest.raises(ConfigError, match=r"a worker cannot start .GoneError: hello.. See that ec_agent"):
        async with opened:
            pass


async def test_without_any_worker_left_the_run_ends():
    async with Opened(workers=1, wait=0.5) as opened:
        opened.cluster.rooms = 0
        (error,) = await opened.killed_while_held(1)
        assert isinstance(error, EvaluationError)
        assert "all workers are lost, and none could be started anew within 0.5 s" in str(error)


async def test_workers_that_die_often_are_not_taken_for_workers_that_cannot_start():
    async with Opened(workers=1) as opened:
        opened.pool._wait = 0.3
        assert await opened.killed_while_held(1) == [2]
        opened.pool._wait, opened.cluster.rooms = 60.0, 0
        opened.cluster.living[0].kill()  # when the time after the first death is over, its replacement is dead, too
        await asyncio.sleep(0.5)
        assert not opened.pool.broken


def hanging(piece):
    """The piece waits until it is cancelled; a list that says when it was."""
    left = []

    async def hang():
        try:
            await asyncio.sleep(30)
        finally:
            left.append("left")

    KILLS[piece] = hang
    return left


async def test_who_is_cancelled_has_the_piece_cancelled_on_its_worker():
    left = hanging(1)
    async with Opened() as opened:
        running = asyncio.ensure_future(opened.run(1))
        while not RAN:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
        while not left:
            await asyncio.sleep(0.01)
        assert await opened.run(2) == [4]
        assert opened.pool.lost == Lost()


async def test_closing_cancels_what_runs_there():
    left = hanging(1)
    async with Opened() as opened:
        running = asyncio.ensure_future(opened.run(1))
        while not RAN:
            await asyncio.sleep(0.01)
    assert left == ["left"]
    running.cancel()


async def test_a_piece_is_stopped_where_it_runs_and_waited_for():
    async with Opened() as opened:
        piece = Stoppable("stopped")
        running = asyncio.ensure_future(opened.run(piece))
        while not RAN:
            await asyncio.sleep(0.01)
        opened.pool.stop(piece)
        assert await running == ["stopped" * 2]
        opened.pool.stop(piece)  # it is over: nothing happens
        assert await opened.run(2) == [4]


@pytest.mark.parametrize("word", ["stop", "cancel"])
async def test_a_word_about_a_piece_may_come_before_the_piece(word):
    async with Opened(workers=1) as opened:
        worker = opened.cluster.actors[0].worker
        getattr(worker, word)(7)
        delivered = await asyncio.to_thread(worker.run, 7, pickle.dumps("a task"), pickle.dumps(Stoppable("early")))
        if word == "stop":
            assert delivered.result == "early" * 2
        else:
            assert isinstance(delivered.error, CancelledError | asyncio.CancelledError)


async def test_every_event_is_told_once_and_in_order_however_it_arrives():
    """What a worker was asked for and what came with the result may overlap, and may arrive in either order."""
    told = []
    async with Opened(workers=1, on_event=lambda piece, event: told.append(event["at"])) as opened:
        worker = opened.cluster.actors[0].worker
        piece = Talkative(40)
        assert await opened.run(piece) == [piece.text * 2]
        assert told == list(range(40))
        assert not worker._events


async def test_who_asked_for_it_is_told_of_each_loss():
    lost = []
    async with Opened(workers=1, per_worker=1, on_lost=lambda piece, each: lost.append((piece, each))) as opened:
        opened.cluster.undelivered.add("run")
        assert await opened.run(4) == [8]
    assert lost == [(4, Lost(workers=1, rollouts=1))]
