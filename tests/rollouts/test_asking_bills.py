"""What a selector asks is on the bill, and within the budget, whichever way the question goes."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import kit
import mailing
import pytest
from askers import ASKED, LAST, Asking, AsyncOnly, SyncOnly, judge
from langgraph.checkpoint.memory import InMemorySaver
from plans_at_work import Killed

from ec_agent import Limits, SelectionError, SelectorWarning, best_of_n
from ec_agent.capture.recorder import current_recorder
from ec_agent.testing import Reply, ScriptedChatModel


def test_each_round_asks_and_the_receipt_has_them_all(run, post):
    def script(messages, index):
        done = any(message.type == "tool" for message in messages)
        calls = [] if done else [("send", {"to": f"by {index}"})]
        return Reply(f"done {index}" if done else "", tool_calls=calls, entropies=kit.peak(3 + index))

    shown = []

    class Seeing(Asking):
        def select(self, candidates):
            shown.append([candidate.final_action.tool_calls for candidate in candidates])
            return super().select(candidates)

        async def aselect(self, candidates):
            shown.append([candidate.final_action.tool_calls for candidate in candidates])
            return await super().aselect(candidates)

    agent = mailing.agent("tool_node", ScriptedChatModel(script), post.tools)
    node = best_of_n(
        agent, n=2, selector=Seeing(judge()), commit=[post.send], on_commit="execute", continue_after_commit=True
    )
    told = run.run(node, {"messages": [("user", "go")]}).selection
    assert [[len(calls) for calls in each] for each in shown] == [[1, 1], [0, 0]]
    assert (told.selector_usage["calls"], told.earlier[0].selector_usage["calls"]) == (4, 2)
    assert told.usage["generated_tokens"] == 4 * 20 + 4 * 5
    assert [to for to, _ in post.sent] == ["by 1"]


class Failing(AsyncOnly):
    """Asks, and fails all the same."""

    on_failure = "raise"

    async def aselect(self, candidates):
        await super().aselect(candidates)
        raise OSError("no such luck")


@pytest.mark.parametrize("kind", [Asking, AsyncOnly, SyncOnly, Failing], ids=lambda kind: kind.__name__)
def test_a_question_inside_a_rollout_is_paid_for_also_if_its_judge_fails(run, kind):
    selector = kind(judge())
    inner = best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=selector).as_agent()
    own = kit.say(4)

    def agent(state):
        with contextlib.suppress(SelectionError):
            inner.invoke(state)
        return {"messages": [own.invoke("sum up")]}

    told = run.run(best_of_n(agent, n=1), ASKED)
    asked = 15 if kind is Asking else 5
    assert told.selection.usage["generated_tokens"] == 20 + 3 * 20 + asked
    assert told.selection.selector_usage == {}


def test_what_rollouts_sample_by_is_not_set_on_the_judge(run):
    seen = []

    class Noting(ScriptedChatModel):
        def _reply(self, messages):
            seen.append(dict(current_recorder.get().requests.sampling))
            return super()._reply(messages)

    model = Noting(lambda messages, index: Reply(f"fine {index}", entropies=kit.peak(3)))
    node = best_of_n(kit.chat(model), n=2, selector=Asking(model), sampling=lambda i: {"seed": i, "temperature": 0.8})
    run.run(node, ASKED)
    assert sorted(seen, key=str) == [{"seed": 0, "temperature": 0.8}, {"seed": 1, "temperature": 0.8}, {}, {}]


def test_a_judge_without_logprobs_is_no_missing_logprobs_of_the_rollouts(run):
    node = best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=Asking(judge_blind()), on_missing="raise")
    assert run.run(node, ASKED).selection.winner == LAST
    within = best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=Asking(judge_blind())).as_agent()
    assert run.run(best_of_n(within, n=1, on_missing="raise"), ASKED).selection.ended == 1


def judge_blind():
    return ScriptedChatModel([[Reply("fine", tokens=3)]])


def test_after_a_kill_the_budget_knows_what_the_rollouts_spent(run):
    kills = [True]

    class Killing(Asking):
        def select(self, candidates):
            self.once()
            return super().select(candidates)

        async def aselect(self, candidates):
            self.once()
            return await super().aselect(candidates)

        def once(self):
            if kills:
                raise Killed(kills.pop())

    selector, limits = Killing(judge(), "first"), Limits(token_budget=60)
    node = best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=selector, limits=limits, selection_key="receipt")
    graph = kit.outer(node, schema=Receipt, checkpointer=InMemorySaver())
    with pytest.raises(Killed):
        run.invoke(graph, ASKED, kit.THREAD)
    with pytest.warns(SelectorWarning, match="was not asked: 60 of token_budget=60"):
        done = run.invoke(graph, None, kit.THREAD)
    assert done["receipt"]["selector"] == "first"


class Receipt(kit.MessagesState):
    receipt: dict


async def test_cancelled_while_the_judge_is_asked_nothing_more_is_asked():
    asked, begun = [], asyncio.Event()

    class Slow(ScriptedChatModel):
        async def _agenerate(self, messages, stop=None, run_manager=None, **given):
            asked.append(messages[-1].text)
            begun.set()
            await asyncio.sleep(30)

    class InTurn(AsyncOnly):
        async def aselect(self, candidates):
            for candidate in candidates:
                await self.model.ainvoke(candidate.final_action.text)

    node = best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=InTurn(Slow([[Reply("x")]])))
    running = asyncio.create_task(node.arun(ASKED))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(asked) == 1


async def test_a_blocking_judge_that_nobody_waits_for_stops_at_its_next_call():
    asked, begun, over = [], threading.Event(), threading.Event()

    def reply(messages, index):
        asked.append(messages[-1].text)
        begun.set()
        over.wait(10)
        return Reply("fine", entropies=[0.1])

    ended = threading.Event()

    class InTurn(SyncOnly):
        def select(self, candidates):
            try:
                for candidate in candidates:
                    self.model.invoke(candidate.final_action.text)
            finally:
                ended.set()

    node = best_of_n(kit.chat(kit.say(*kit.PEAKS)), n=3, selector=InTurn(ScriptedChatModel(reply)))
    running = asyncio.create_task(node.arun(ASKED))
    await asyncio.to_thread(begun.wait)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    over.set()
    assert await asyncio.to_thread(ended.wait, 20)
    assert len(asked) == 1
