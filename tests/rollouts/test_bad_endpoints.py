"""Endpoints that fail, break off and hang: what goes wrong in one rollout costs that one and leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
import time

import kit
import pytest
from bad_server import BadServer, Fault
from endpoint_runs import INPUT, LATE, Client, Model, Run, awithin, once, within
from langchain_core.tools import tool

from ec_agent import AllRolloutsFailedError, Limits, best_of_n, read_only

TRICKLE = Fault(drip=0.05)
SILENCE = Fault(silent_after=40)
PEAKS = (1, 15, 9)  # rollout 0 would win, but it is the one that goes wrong; then rollout 2 does
LIMIT = 3.0  # of a rollout, or of its client; a busy machine takes most of it to make a client


@pytest.fixture
def server():
    """The server; whatever a test does, no connection and no thread is left of it."""
    before = set(threading.enumerate())
    server = BadServer(entropies={seed: kit.peak(at) for seed, at in enumerate(PEAKS)})
    yield server
    closed = within(LATE, lambda: server.connections == 0)
    server.close()
    assert closed, f"{server.connections} connections were left open"
    assert within(LATE, lambda: set(threading.enumerate()) <= before), set(threading.enumerate()) - before


@pytest.fixture(params=[Model, Client], ids=lambda way: way.name)
def ask(request, server, run):
    """Runs agents on the server: ``ChatOpenAI`` and the raw client, synchronously and asynchronously."""
    return Run(server, request.param(), run)


def only_the_first_failed(result, *causes):
    """Rollout 0 is a failed candidate for one of these causes; the others are scored as if nothing had been."""
    first, *others = result.selection.candidates
    assert any(cause in (first.error or "") for cause in causes), first.error
    assert (first.reason, first.centroid, first.score) == ("failed", None, None)
    assert [(c.error, c.centroid, c.tokens) for c in others] == [(None, kit.centroid(at), 20) for at in PEAKS[1:]]
    assert (result.selection.winner, result.selection.order) == (2, (2, 1))
    return first


def test_a_retrying_client_waits_out_too_many_requests(server, ask):
    server.faults[0] = Fault(status=429, headers={"Retry-After": "0.7"}, times=1)
    result = ask(max_retries=2)
    first = result.selection.candidates[0]
    assert (first.error, first.calls, first.tokens, first.centroid) == (None, 1, 20, kit.centroid(PEAKS[0]))
    assert result.selection.winner == 0
    assert [len(server.arrived[seed]) for seed in range(3)] == [2, 1, 1]
    refused, served = server.arrived[0]
    assert 0.69 < served - refused < 2  # by itself the client waits half a second at most


def test_without_retries_too_many_requests_fail(server, ask):
    server.faults[0] = Fault(status=429, headers={"Retry-After": "1"})
    first = only_the_first_failed(ask(), "RateLimitError")
    assert "429" in first.error
    assert len(server.arrived[0]) == 1


def test_a_server_error(server, ask):
    server.faults[0] = Fault(status=500, headers={"retry-after-ms": "20"})
    # langchain-openai has a class of its own for all errors of the API.
    only_the_first_failed(ask(max_retries=2), "InternalServerError", "OpenAIAPIError: Error code: 500")
    assert len(server.arrived[0]) == 3


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_connection_reset_in_the_middle(server, ask, stream):
    server.faults[0] = Fault(reset_after=6) if stream else Fault(reset=0.5)
    result = ask(stream=stream)
    first = only_the_first_failed(result, "ConnectionError", "ReadError")
    assert first.tokens == (5 if stream else 0)  # the first of a stream's events says who speaks
    assert result.selection.usage["generated_tokens"] == 40 + first.tokens
    assert len(server.arrived[0]) == 1


def test_an_answer_cut_off_in_the_middle(server, ask):
    """Valid HTTP around broken JSON."""
    server.faults[0] = Fault(short=0.5)
    only_the_first_failed(ask(), "JSONDecodeError")


def test_a_cut_stream_is_not_scored(server, ask):
    """Valid HTTP that ends inside an event: no finish reason has come, and no ``[DONE]``."""
    server.faults[0] = Fault(short=0.5)
    result = ask(stream=True)
    assert result.selection.candidates[0].score is None
    assert result.selection.winner == 2


def test_an_answer_that_is_no_json(server, ask):
    """The raw client hands out such a body as a string."""
    server.faults[0] = Fault(short=0.5, kind="text/html")
    only_the_first_failed(ask(), "AttributeError: 'str' object", "ValueError: Unexpected response type")


@pytest.mark.whole_form("it waits for a time limit of three seconds, as others here do")
def test_a_stalled_stream_ends_by_the_clients_timeout(server, ask):
    """The client's timeout is one for the next byte: it ends a silence, not a trickle."""
    server.faults[0] = SILENCE
    first = only_the_first_failed(ask(timeout=LIMIT, stream=True), "APITimeoutError", "OpenAITimeoutError")
    assert LIMIT - 0.05 < first.seconds < LIMIT + LATE
    assert first.tokens == 0
    assert len(server.lost[0]) == 1


BAD = {
    0: (Fault(status=429), ("RateLimitError",)),
    1: (Fault(reset=0.5), ("APIConnectionError", "OpenAIConnectionError")),
    2: (Fault(short=0.5), ("JSONDecodeError",)),
    3: (Fault(silent_after=40), ("TimeoutError",)),
    4: (Fault(status=500), ("InternalServerError", "OpenAIAPIError: Error code: 500")),
}


@pytest.mark.members(1)
def test_if_all_fail_every_cause_is_named(server, ask):
    server.faults.update({seed: fault for seed, (fault, _) in BAD.items()})
    server.entropies.update({seed: kit.peak(3) for seed in BAD})
    before = set(threading.enumerate())
    with pytest.raises(AllRolloutsFailedError) as caught:
        ask(n=5, timeout=LIMIT)
    lines = str(caught.value).splitlines()
    for seed, (_, causes) in BAD.items():
        assert any(f"rollout {seed}: " in line and cause in line for line in lines for cause in causes), lines
    assert [c.eligible for c in caught.value.candidates] == [False] * 5
    assert len(caught.value.__cause__.exceptions) == 5
    assert sum(len(times) for times in server.arrived.values()) == 5
    assert within(LATE, lambda: server.connections == 0)
    assert within(LATE, lambda: set(threading.enumerate()) <= before)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way", [Model, Client], ids=lambda way: way.name)
async def test_cancelling_the_run_drops_every_connection(server, way, stream):
    server.faults.update(dict.fromkeys(range(3), TRICKLE))
    settings = {"timeout": 10, "max_retries": 2, "stream": stream}
    async with way().aagent(server, once, **settings) as agent:
        task = asyncio.create_task(best_of_n(agent, n=3, sampling=lambda i: {"seed": i}).arun(INPUT))
        assert await awithin(LATE, lambda: server.busy == 3)
        await asyncio.sleep(0.15)
        cancelled = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await awithin(LATE, lambda: len(server.lost) == 3)
    assert all(0 < lost - cancelled < LATE for (lost,) in server.lost.values())
    assert [len(server.arrived[seed]) for seed in range(3)] == [1, 1, 1]


SYNC_WAYS = pytest.mark.parametrize("way", [Model, Client], ids=lambda way: f"{way.name}-sync")
ASYNC_WAYS = pytest.mark.parametrize("way", [Model, Client], ids=lambda way: f"{way.name}-async")


def over_time(result, server):
    """Rollout 0 failed at the limit, and at once: its client left then."""
    first = only_the_first_failed(result, "RolloutTimeoutError")
    assert LIMIT - 0.05 < first.seconds < LIMIT + LATE
    (lost,) = server.lost[0]
    assert lost - server.arrived[0][0] < LIMIT + LATE
    return first


@pytest.mark.members(1)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@ASYNC_WAYS
def test_a_time_limit_ends_a_trickle(server, way, stream):
    server.faults[0] = TRICKLE
    over_time(Run(server, way(), kit.Async())(limits=Limits(timeout=LIMIT), stream=stream, max_retries=2), server)
    assert len(server.arrived[0]) == 1


@pytest.mark.whole_form("it waits for a time limit of three seconds, as others here do")
@pytest.mark.members(1)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@SYNC_WAYS
def test_a_time_limit_ends_a_silence_in_a_sync_run(server, way, stream):
    server.faults[0] = SILENCE
    over_time(Run(server, way(), kit.Sync())(limits=Limits(timeout=LIMIT), stream=stream), server)


@pytest.mark.whole_form("it waits for a time limit of three seconds, as others here do")
def test_each_client_retry_gets_the_time_anew(server):
    server.faults[0] = SILENCE
    result = Run(server, Client(), kit.Sync())(limits=Limits(timeout=LIMIT), max_retries=1)
    first = only_the_first_failed(result, "RolloutTimeoutError")
    assert first.seconds < 2 * LIMIT + LATE
    assert len(server.arrived[0]) <= 2


@pytest.mark.whole_form("it waits for a time limit of three seconds, as others here do")
@SYNC_WAYS
def test_a_late_answer_in_a_sync_run(server, way):
    """A thread cannot be stopped while bytes come in, but the next model call is refused."""
    limit = 2 * LIMIT  # the others have two calls to make in it
    server.faults[0] = Fault(drip=0.05, lasts=limit + 0.1)
    result = Run(server, way(), kit.Sync())(lambda ask: [ask(), ask()][-1], limits=Limits(timeout=limit))
    first, *others = result.selection.candidates
    assert "RolloutTimeoutError" in first.error
    assert (first.reason, first.centroid) == ("failed", None)
    assert first.seconds < limit + LATE
    assert [c.error for c in others] == [None, None]
    assert [len(server.arrived[seed]) for seed in range(3)] == [1, 2, 2]


@pytest.mark.whole_form("it waits for a time limit of three seconds, as others here do")
def test_a_late_only_answer_in_a_sync_run(server):
    server.faults[0] = Fault(drip=0.05, lasts=LIMIT + 0.1)
    only_the_first_failed(Run(server, Client(), kit.Sync())(limits=Limits(timeout=LIMIT)), "RolloutTimeoutError")


@pytest.mark.whole_form("it waits for a time limit of three seconds, as others here do")
@pytest.mark.members(1)
@ASYNC_WAYS
def test_a_time_limit_ends_parallel_calls(server, way):
    """Requests side by side, and tasks of the agent's own."""
    server.faults[0] = TRICKLE
    ended = []

    async def waiting():
        try:
            await asyncio.sleep(20 if kit.rollout_index() == 0 else 0)
        finally:
            ended.append(kit.rollout_index())

    async def steps(ask):
        return (await asyncio.gather(ask(), ask(), waiting()))[0]

    result = Run(server, way(), kit.Async())(steps, limits=Limits(timeout=LIMIT))
    first, *others = result.selection.candidates
    assert "RolloutTimeoutError" in first.error
    assert first.seconds < LIMIT + LATE
    assert [c.error for c in others] == [None, None]
    assert sorted(ended) == [0, 1, 2]
    assert len(server.lost[0]) == 2
    assert all(lost - server.arrived[0][0] < LIMIT + LATE for lost in server.lost[0])


@ASYNC_WAYS
def test_the_agents_own_time_limit_is_named(server, way):
    server.faults[0] = TRICKLE

    async def steps(ask):
        return await asyncio.wait_for(ask(), 0.2 if kit.rollout_index() == 0 else None)

    first = only_the_first_failed(Run(server, way(), kit.Async())(steps), "TimeoutError")
    assert first.error.startswith("TimeoutError")


@pytest.mark.whole_form("it waits for a time limit of three seconds, as others here do")
@SYNC_WAYS
def test_a_later_request_gets_the_time_left(server, way):
    server.faults[0] = SILENCE

    def steps(ask):
        time.sleep(0.25 if kit.rollout_index() == 0 else 0)
        return ask()

    result = Run(server, way(), kit.Sync())(steps, limits=Limits(timeout=LIMIT))
    first = only_the_first_failed(result, "RolloutTimeoutError")
    assert LIMIT - 0.05 < first.seconds < LIMIT + LATE
    assert server.lost[0][0] - server.arrived[0][0] < LIMIT - 0.1


@pytest.mark.members(1)
@SYNC_WAYS
def test_nothing_is_called_after_the_limit(server, way):
    """Not even where the agent takes errors for answers, as many do with those of tools."""
    ran = []

    @read_only
    @tool
    def look() -> str:
        """Look."""
        ran.append(kit.rollout_index())
        return "seen"

    def steps(ask):
        said = [ask()]
        time.sleep(LIMIT if kit.rollout_index() == 0 else 0)
        for step in (lambda: look.invoke({}), ask):
            try:
                said.append(step())
            except Exception as error:
                said.append(str(error))
        return said[-1]

    result = Run(server, way(), kit.Sync())(steps, limits=Limits(timeout=LIMIT))
    first = result.selection.candidates[0]
    assert "RolloutTimeoutError" in first.error
    assert (first.reason, first.centroid, first.tokens) == ("failed", None, 20)
    assert sorted(ran) == [1, 2]
    assert [len(server.arrived[seed]) for seed in range(3)] == [1, 2, 2]
    assert result.selection.winner == 2


@pytest.mark.whole_form("it waits for a time limit of three seconds, as others here do")
@SYNC_WAYS
def test_a_clients_own_shorter_timeout_stays(server, way):
    server.faults[0] = SILENCE
    result = Run(server, way(), kit.Sync())(timeout=LIMIT, limits=Limits(timeout=LIMIT + 2 * LATE))
    first = only_the_first_failed(result, "APITimeoutError", "OpenAITimeoutError")
    assert first.seconds < LIMIT + LATE


def test_a_limit_nobody_reaches_changes_nothing(server, ask):
    result = ask(limits=Limits(timeout=10.0))
    assert [c.error for c in result.selection.candidates] == [None] * 3
    assert result.selection.winner == 0
    assert all("timeout" not in body for body in server.bodies())


@pytest.mark.whole_form("it waits for a time limit of three seconds, as others here do")
def test_all_over_the_limit(server, run):
    server.faults.update(dict.fromkeys(range(3), SILENCE))
    started = time.monotonic()
    with pytest.raises(AllRolloutsFailedError) as caught:
        Run(server, Client(), run)(limits=Limits(timeout=LIMIT))
    assert time.monotonic() - started < LIMIT + LATE
    assert [("RolloutTimeoutError" in c.error) for c in caught.value.candidates] == [True] * 3
