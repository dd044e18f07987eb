"""The preflight: cheap, once per model, and an error of ours where rollouts would go unscored."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading

import pytest
from fake_openai import Answer
from kinds import Kind, refused
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import DoctorError, PreflightError
from ec_agent.doctor import Mark, Verdict, models_of, preflight
from ec_agent.doctor.preflights import MOST_REMEMBERED, _reports, identity
from ec_agent.errors import ConfigError, EcAgentError
from ec_agent.support.plans import adrive, drive
from ec_agent.testing import Reply, ScriptedChatModel, logprobs_for

ASKING = {"logprobs": True, "top_logprobs": 20}


@pytest.fixture(params=["sync", "async"])
def fly(request):
    if request.param == "sync":
        return lambda *args, **kwargs: drive(preflight(*args, **kwargs))
    return lambda *args, **kwargs: asyncio.run(adrive(preflight(*args, **kwargs)))


def test_a_good_model_costs_two_requests_once(fly, chat_model, fake):
    model = chat_model(Kind(), **ASKING)
    (report,) = fly([model])
    assert report.verdict is Verdict.USABLE
    assert report.finding("tools").mark is Mark.YES
    assert report.finding("stream").mark is Mark.NOT_ASKED
    assert len(fake.asked) == 2
    assert fly([model, chat_model(Kind(), **ASKING)]) == (report, report)  # its equal is no other
    assert len(fake.asked) == 2


def test_the_models_of_an_agent(fly, chat_model, fake):
    agent = create_agent(chat_model(Kind(), **ASKING), [])
    (report,) = fly(models_of(agent))
    assert report.target == f"ChatOpenAI fake-model at {fake.url}"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "fake-model-2"},
        {"top_logprobs": 5},
        {"temperature": 0.3},
        {"extra_body": {"x": 1}},
        {"streaming": True},
    ],
)
def test_another_model_is_asked_for_itself(fly, chat_model, fake, change):
    fly([chat_model(Kind(), **ASKING)])
    fly([chat_model(Kind(), **{**ASKING, **change})])
    assert len(fake.asked) == 4


def test_what_is_bound_counts_and_tools_do_not(fly, chat_model, fake):
    model = chat_model(Kind(), **ASKING)
    fly([model, model.bind_tools([{"name": "x", "description": "X.", "parameters": {"type": "object"}}])])
    assert len(fake.asked) == 2
    fly([model.bind(stop=["x"])])
    assert len(fake.asked) == 4


CASES = {
    "no logprobs asked for": (Kind(), {}, ["logprobs: partly (none as it is", "set: ChatOpenAI(..., logprobs=True"]),
    "no logprobs to be had": (Kind(logprobs=False), ASKING, ["logprobs: no", "set: this endpoint returns no logprobs"]),
    "sampled only": (Kind(logprobs="sampled"), ASKING, ["logprobs: no (of the sampled", "set: only the sampled"]),
    "too many asked for": (Kind(most=5), ASKING, ["refused as it is", "top_logprobs=5"]),
    "calls without": (Kind(call_logprobs=False), ASKING, ["with tools: no (a tool call came, without", "PromptedTool"]),
    "calls in part": (Kind(call_logprobs=1), ASKING, ["with tools: partly", "1 of 4 tokens", "PromptedToolModel"]),
    "gaps": (Kind(thinking=30), ASKING, ["logprobs: partly (candidates for 6 of 36", "set: only 17%"]),
    "no answer": (
        lambda body: Answer(status=500, error="oh"),
        ASKING,
        ["error 500: oh", "set: nothing was answered: see the server's log"],
    ),
    "no such model": (Kind(only=("x",)), ASKING, ["error 404", "does not exist"]),
    "tools refuse logprobs": (
        lambda body: refused("logprobs not with tools") if body.get("tools") else Kind()(body),
        ASKING,
        ["with tools: no (error 400: logprobs not with tools)"],
    ),
}


@pytest.mark.parametrize(("kind", "settings", "words"), CASES.values(), ids=CASES)
def test_a_model_that_would_leave_rollouts_unscored(fly, chat_model, kind, settings, words):
    with pytest.raises(PreflightError) as raised:
        fly([chat_model(kind, **settings)])
    message = str(raised.value)
    assert message.startswith("preflight: ChatOpenAI fake-model at")
    assert "would leave rollouts unscored" in message
    for word in words:
        assert word in message
    assert isinstance(raised.value, EcAgentError)
    assert len(raised.value.reports) == 1


def test_a_failure_is_not_remembered(fly, chat_model, fake):
    model = chat_model(Kind(logprobs=False), **ASKING)
    for _ in range(2):
        with pytest.raises(PreflightError):
            fly([model])
    fake.otherwise = Kind()
    fly([model])


def test_every_model_that_fails_is_named(fly, chat_model):
    good = chat_model(Kind(), **ASKING)
    with pytest.raises(PreflightError) as raised:
        fly([good, chat_model(Kind(), model="one"), chat_model(Kind(), model="two")])
    assert str(raised.value).count("would leave rollouts unscored") == 2
    assert [r.verdict for r in raised.value.reports] == [Verdict.USABLE, *[Verdict.WITH_SETTINGS] * 2]


def test_what_passes_depends_on_the_run(fly, chat_model):
    low = chat_model(Kind(call_logprobs=1), **ASKING)
    fly([low], tools=False)
    fly([low], min_coverage=0.2)
    with pytest.raises(PreflightError):  # though what is remembered was good enough for those
        fly([low])
    chat_model(Kind())
    assert fly([low])[0].finding("tools").mark is Mark.YES  # it was asked again


def test_a_run_that_asks_for_logprobs_itself(fly, chat_model, fake):
    model = chat_model(Kind())
    (report,) = fly([model], request_logprobs=True)
    assert report.verdict is Verdict.USABLE
    assert all(body["top_logprobs"] == 20 for body in fake.bodies())
    with pytest.raises(PreflightError):
        fly([model])


def test_fewer_candidates_are_asked_for_as_the_rollouts_do(fly, chat_model, fake):
    model = chat_model(Kind(most=5))
    (report,) = fly([model], request_logprobs=True)
    assert report.verdict is Verdict.USABLE
    assert "top_logprobs=20" not in report.settings
    assert [body["top_logprobs"] for body in fake.bodies()] == [20, 8, 5, 5]  # a refusal is met once


def test_a_stream_of_a_call_is_asked_for_whole_as_the_rollouts_do(fly, chat_model):
    model = chat_model(Kind(tools_stream=False), streaming=True)
    assert "candidates for 4 of 4 tokens" in fly([model], request_logprobs=True)[0].finding("tools").detail
    with pytest.raises(PreflightError, match="logprobs is not supported with tools"):
        fly([chat_model(Kind(tools_stream=False), streaming=True, **ASKING)])


def test_a_models_own_number_of_candidates_stays(fly, chat_model, fake):
    fly([chat_model(Kind(), logprobs=True, top_logprobs=7)], request_logprobs=True)
    assert {body["top_logprobs"] for body in fake.bodies()} == {7}


class Native(BaseChatModel):
    """A client of its own: logprobs come where the call's own arguments ask for them."""

    @property
    def _llm_type(self):
        return "native"

    def bind_tools(self, tools, *, tool_choice=None, **kwargs):
        return self.bind(**kwargs)

    def _generate(self, messages, stop=None, run_manager=None, logprobs=False, **kwargs):
        metadata = {"logprobs": {"content": logprobs_for([0.5, 0.1])}} if logprobs else {}
        return ChatResult(generations=[ChatGeneration(message=AIMessage("hello", response_metadata=metadata))])


def test_a_model_that_the_rollouts_cannot_ask(fly):
    with pytest.raises(PreflightError, match="did not do it: it reaches what goes through an openai client") as raised:
        fly([Native()], request_logprobs=True)
    assert "logprobs: partly (none as it is; asked for 20" in str(raised.value)
    assert "or best_of_n(..., request_logprobs=True)" not in str(raised.value)


def test_a_model_that_refuses_every_number(fly, chat_model):
    with pytest.raises(PreflightError, match="returns no logprobs"):
        fly([chat_model(Kind(unsupported=("logprobs", "top_logprobs")))], request_logprobs=True)


class Toolless(GenericFakeChatModel):
    pass


def test_a_model_without_tools_may_be_one_that_needs_none(fly):
    logprobs = ScriptedChatModel([[Reply("hello", entropies=[0.5, 0.1])]]).invoke("x").response_metadata["logprobs"]
    answer = AIMessage("hello", response_metadata={"logprobs": logprobs})
    (report,) = fly([Toolless(messages=iter([answer] * 9))])
    assert report.finding("tools").detail == "Toolless takes no tools"


def test_nobody_there_is_an_error_of_its_own(fly, chat_model):
    with pytest.raises(DoctorError, match="cannot reach"):
        fly([chat_model(Kind(), base_url="http://127.0.0.1:9/v1")])


@pytest.mark.parametrize("go", ["sync", "async"])
def test_nothing_of_it_shows_in_the_streams_of_a_graph_around(chat_model, go):
    model = chat_model(Kind(), **ASKING, streaming=True)

    def node(state):
        drive(preflight([model]))
        return {"messages": [AIMessage("done")]}

    async def anode(state):
        await adrive(preflight([model]))
        return {"messages": [AIMessage("done")]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", RunnableLambda(node, afunc=anode))
    builder.add_edge(START, "node")
    graph = builder.compile()

    async def collected():
        return [message async for message in graph.astream({"messages": ["x"]}, stream_mode="messages")]

    streamed = graph.stream({"messages": ["x"]}, stream_mode="messages")
    seen = list(streamed) if go == "sync" else asyncio.run(collected())
    assert [message.text for message, _ in seen] == ["done"]


def test_without_models_nothing_is_asked(fly):
    assert fly([]) == ()


def test_what_is_no_model_is_refused(fly):
    with pytest.raises(ConfigError, match="give a LangChain chat model"):
        fly(["gpt"])


def slow(body):
    answer = Kind()(body)
    answer.delay = 0.1
    return answer


def test_threads_that_ask_at_once_ask_the_model_once(chat_model, fake):
    model = chat_model(slow, **ASKING)
    reports = []
    threads = [threading.Thread(target=lambda: reports.extend(drive(preflight([model])))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 8
    assert len(fake.asked) == 2


def test_tasks_ask_once_together_and_a_cancelled_one_spoils_nothing(chat_model, fake):
    model = chat_model(slow, **ASKING)

    async def all_of_them():
        first = asyncio.create_task(adrive(preflight([model])))
        await asyncio.sleep(0.03)
        waiting = [asyncio.create_task(adrive(preflight([model]))) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        await first
        return await asyncio.gather(*waiting, return_exceptions=True)

    cancelled, *others = asyncio.run(all_of_them())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert {reports[0].verdict for reports in others} == {Verdict.USABLE}
    assert len(fake.asked) == 2


def test_when_the_one_that_asks_is_cancelled_the_others_ask(chat_model):
    model = chat_model(slow, **ASKING)

    async def both():
        first = asyncio.create_task(adrive(preflight([model])))
        await asyncio.sleep(0.03)
        second = asyncio.create_task(adrive(preflight([model])))
        await asyncio.sleep(0.01)
        first.cancel()
        return await asyncio.wait_for(second, 5)

    (report,) = asyncio.run(both())
    assert report.verdict is Verdict.USABLE


def test_a_sync_run_on_the_loop_does_not_wait_for_a_task_of_it(chat_model):
    model = chat_model(slow, **ASKING)

    async def both():
        first = asyncio.create_task(adrive(preflight([model])))
        await asyncio.sleep(0.03)
        here = drive(preflight([model]))  # blocks the loop, on which the first waits
        return here, await asyncio.wait_for(first, 5)

    (here,), (there,) = asyncio.run(both())
    assert here.verdict is there.verdict is Verdict.USABLE


@pytest.mark.whole_form("a process that forks; so does one in tests/local/test_local_server.py")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent():
    """In a process of its own: forking one with threads, as pytest's may have, is not for tests."""
    code = """
import os, signal, threading, time
from ec_agent.doctor import preflight
from ec_agent.support.plans import drive
from ec_agent.testing import Reply, ScriptedChatModel

def make(delay):
    return ScriptedChatModel(lambda messages, index: Reply("x", entropies=[0.5, 0.1], delay=delay))

drive(preflight([make(0.0)]))  # so that no import is under way at the fork
model = make(1.0)
thread = threading.Thread(target=lambda: drive(preflight([model])))
thread.start()
time.sleep(0.5)
child = os.fork()
if child == 0:
    signal.alarm(20)  # it must not outlive a test that fails
    drive(preflight([model]))
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "7"


def test_a_stand_in_at_the_same_address_is_another():
    def keys():
        for place in range(10):
            yield identity(ScriptedChatModel(lambda messages, index, place=place: Reply("x")))

    kept = []
    for key in keys():
        gc.collect()
        assert key not in kept
        kept.append(key)


def test_the_memory_is_bounded():
    for place in range(MOST_REMEMBERED + 5):
        model = ScriptedChatModel([[Reply("x", entropies=[0.5, 0.1])]], model_name=f"m{place}")
        drive(preflight([model]))
    assert len(_reports) == MOST_REMEMBERED


def test_the_key_is_no_part_of_an_identity(chat_model):
    secret = "sk-secret"
    assert secret not in repr(identity(chat_model(Kind(), api_key=secret)))
    assert identity(chat_model(Kind(), api_key=secret)) == identity(chat_model(Kind(), api_key="another"))
