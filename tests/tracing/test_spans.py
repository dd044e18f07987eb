"""Questions, rollouts and selections as spans, with a real SDK."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path

import pytest
from clerks import ASKED, Tree, alook, clerk, look, peak, searching
from langchain.agents import create_agent
from langchain_core.tools import ToolException, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy, interrupt
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from ec_agent import Limits, NoScoredRolloutError, best_of_n
from ec_agent.selectors import MeanEntropy
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.tracing import instrument, uninstrument

CENTROID = "ec_agent.rollout.centroid"


def test_a_question_is_a_tree_of_named_spans(spans, run):
    result = run(best_of_n(clerk(searching(5), [Reply("early", entropies=peak(1))]), n=2))
    tree = spans()
    question = tree.one("best_of_n clerk")
    assert tree.under() == [question]
    assert tree.names_under(question) == ["invoke_agent clerk", "invoke_agent clerk", "ec_agent.select"]
    assert tree.names_under(tree.rollout(0)) == ["chat scripted", "execute_tool look", "chat scripted"]
    assert tree.names_under(tree.rollout(1)) == ["chat scripted"]
    assert len({span.context.trace_id for span in tree.spans}) == 1
    assert all(question.start_time <= s.start_time <= s.end_time <= question.end_time for s in tree.spans)
    for index, receipt in enumerate(result.selection.candidates):
        told = tree.rollout(index).attributes
        assert (told["gen_ai.operation.name"], told["gen_ai.agent.name"]) == ("invoke_agent", "clerk")
        assert (told[CENTROID], told["ec_agent.rollout.score"]) == (receipt.centroid, receipt.score)
        assert told["ec_agent.rollout.coverage"] == receipt.coverage == 1.0
        assert told["ec_agent.rollout.selected"] is (index == result.selection.winner)
        assert told["gen_ai.usage.output_tokens"] == receipt.tokens


def test_the_choice_is_told_and_linked(spans, run):
    selection = run(best_of_n(clerk(searching(5), [Reply("early", entropies=peak(1))]), n=2)).selection
    tree = spans()
    choice = tree.one("ec_agent.select")
    for span in (choice, tree.one("best_of_n clerk")):
        assert span.attributes["ec_agent.selector"] == "lowest_centroid"
        assert span.attributes["ec_agent.selection.winner"] == selection.winner == 1
        assert span.attributes["ec_agent.selection.order"] == (1, 0)
        assert span.attributes["ec_agent.selection.margin"] == selection.margin
        assert span.attributes["ec_agent.config.top_percent"] == 1.0
    linked = {link.attributes["ec_agent.rollout.index"]: link.context.span_id for link in choice.links}
    assert linked == {index: tree.rollout(index).context.span_id for index in (0, 1)}


def test_a_score_is_an_evaluation_result_of_the_conventions(spans):
    best_of_n(clerk([Reply("a", entropies=peak(3))], [Reply("b", entropies=peak(1))]), n=2).run(ASKED)
    (event,) = spans().rollout(1).events
    assert event.name == "gen_ai.evaluation.result"
    assert dict(event.attributes) == {
        "gen_ai.evaluation.name": "lowest_centroid",
        "gen_ai.evaluation.score.value": 0.075,
        "gen_ai.evaluation.score.label": "selected",
    }
    assert spans().rollout(0).events[0].attributes["gen_ai.evaluation.score.label"] == "not selected"


def test_a_rollouts_span_ends_with_its_agent(spans):
    first_over = threading.Event()

    def reply(messages, index):
        if index == 1:
            first_over.wait(30)
            time.sleep(0.2)
        return Reply(f"answer {index}", entropies=peak(index))

    def heard(event):
        if event["type"] == "ec_agent.rollout.finished" and event["index"] == 0:
            first_over.set()

    best_of_n(create_agent(ScriptedChatModel(reply), [], name="clerk"), n=2).run(ASKED, on_event=heard)
    assert spans().one("ec_agent.select").start_time - spans().rollout(0).end_time > 0.15e9


@pytest.mark.parametrize("tools", [(look,), (alook,)], ids=["sync tool", "async tool"])
def test_other_instrumentations_nest_beneath(spans, tools):
    """A span that a tool makes is the tool's child, one that a node makes the rollout's, whatever ran before."""
    model = ScriptedChatModel([[Reply("a", entropies=peak(1))], [Reply("b", entropies=peak(2))]])

    async def node(state):
        found = await tools[0].ainvoke({"q": "x"})
        answer = await model.ainvoke(state["messages"])
        with trace.get_tracer("theirs").start_as_current_span("theirs"):
            await asyncio.sleep(0)
        return {"messages": [answer, ("user", found)]}

    builder = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node")
    asyncio.run(best_of_n(builder.compile(name="clerk"), n=2).arun(ASKED))
    tree = spans()
    for index in (0, 1):
        rollout = tree.rollout(index)
        assert tree.names_under(rollout) == [f"execute_tool {tools[0].name}", "chat scripted", "theirs"]
        assert tree.names_under(tree.under(rollout)[0]) == ["database"]


def test_it_is_beneath_the_users_own_span(spans, run):
    with trace.get_tracer("theirs").start_as_current_span("request"):
        run(best_of_n(clerk([Reply("a", entropies=peak(1))]), n=1))
    tree = spans()
    assert tree.names_under(tree.one("request")) == ["best_of_n clerk"]


def test_concurrent_questions_do_not_mix(spans):
    node = best_of_n(clerk(searching(2), searching(5)), n=2)

    async def both():
        await asyncio.gather(node.arun(ASKED), node.arun(ASKED))

    asyncio.run(both())
    tree = spans()
    questions = tree.named("best_of_n clerk")
    assert len({question.context.trace_id for question in questions}) == 2
    for question in questions:
        assert len(tree.under(question)) == 3
        assert all(s.context.trace_id == question.context.trace_id for s in tree.under(question))


def test_a_nested_question_is_beneath_its_rollout(spans, run):
    inner = best_of_n(clerk([Reply("a", entropies=peak(1))], [Reply("b", entropies=peak(2))]), n=2)
    builder = StateGraph(MessagesState).add_node("solve", inner).add_edge(START, "solve")
    run(best_of_n(builder.compile(name="outer"), n=1))
    tree = spans()
    assert tree.names_under(tree.one("invoke_agent outer")) == ["best_of_n clerk"]
    assert len(tree.named("invoke_agent clerk")) == 2
    assert all(span.attributes["ec_agent.rollout.score"] for span in tree.named("invoke_agent clerk"))


def test_an_error_is_told_by_its_type_alone(spans, run):
    broken = [Reply(error=ValueError("a private mishap"))]
    run(best_of_n(clerk([Reply("a", entropies=peak(1))], broken), n=2))
    tree = spans()
    failed = tree.rollout(1)
    for span in (failed, *tree.under(failed)):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
        assert span.attributes["error.type"] == "ValueError"
    assert failed.attributes["ec_agent.rollout.reason"] == "failed"
    assert not failed.events  # neither an exception's text nor a score
    assert tree.rollout(0).status.status_code is tree.one("best_of_n clerk").status.status_code is StatusCode.UNSET
    assert "private" not in tree.text()


def test_a_failed_selection_ends_every_span(spans, run):
    with pytest.raises(NoScoredRolloutError):
        run(best_of_n(clerk([Reply("no logprobs", tokens=5)]), n=2))
    tree = spans()
    assert len(tree.named("invoke_agent clerk")) == 2
    for name in ("best_of_n clerk", "ec_agent.select"):
        assert tree.one(name).attributes["error.type"] == "ec_agent.errors.NoScoredRolloutError"
    assert not any(CENTROID in span.attributes for span in tree.spans)


def test_each_attempt_is_a_span(spans, run):
    tries = iter([Reply(error=ConnectionError("gone")), Reply("a", entropies=peak(1))])
    model = ScriptedChatModel(lambda messages, index: next(tries))
    builder = StateGraph(MessagesState).add_node("node", lambda s: {"messages": model.invoke(s["messages"])})
    node = best_of_n(
        builder.add_edge(START, "node").compile(name="clerk"),
        n=1,
        retry=RetryPolicy(initial_interval=0.01, retry_on=ConnectionError),
    )
    run(node)
    first, second = spans().named("invoke_agent clerk")
    assert (first.attributes["ec_agent.rollout.attempt"], second.attributes["ec_agent.rollout.attempt"]) == (0, 1)
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert CENTROID in second.attributes
    assert CENTROID not in first.attributes


def test_a_cancelled_calls_span_ends(spans):
    quick, slow = [Reply("a", entropies=peak(1))], [Reply("b", entropies=peak(1), delay=30)]
    asyncio.run(best_of_n(clerk(quick, slow), n=2, limits=Limits(timeout=2)).arun(ASKED))
    tree = spans()
    late = tree.rollout(1)
    assert late.attributes["error.type"] == "ec_agent.errors.RolloutTimeoutError"
    (call,) = tree.under(late)
    assert call.attributes["ec_agent.call.partial"] is True
    assert call.end_time - call.start_time < 20e9


def test_a_tool_that_did_not_run_has_no_span(spans, run):
    """The rollouts stop before the letter; the winner's alone is sent, and has the one span."""
    sent = []

    @tool
    def send(to: str) -> str:
        """Send."""
        sent.append(to)
        return "sent"

    scripts = [[Reply(tool_calls=[("send", {"to": to})], entropies=peak(at))] for to, at in (("ann", 1), ("bob", 5))]
    run(best_of_n(clerk(*scripts, tools=(send,)), n=2, commit=[send], on_commit="execute"))
    tree = spans()
    assert sent == ["ann"]
    assert len(tree.named("execute_tool send")) == 1
    assert [tree.rollout(1).status.status_code, tree.rollout(1).attributes["ec_agent.rollout.end"]] == [
        StatusCode.UNSET,
        "commit",
    ]


def test_an_interrupt_is_no_error(spans):
    model = ScriptedChatModel([[Reply("a", entropies=peak(1))]])

    def node(state):
        answer = model.invoke(state["messages"])
        interrupt("may I?")
        return {"messages": answer}

    builder = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node")
    outer = StateGraph(MessagesState).add_node("solve", best_of_n(builder.compile(name="clerk"), n=1))
    graph = outer.add_edge(START, "solve").compile()
    assert graph.invoke(ASKED)["__interrupt__"]
    assert {span.status.status_code for span in spans().spans} == {StatusCode.UNSET}


@pytest.mark.parametrize("handled", [True, False], ids=["handled", "raised"])
def test_a_tools_error_is_told(spans, run, handled):
    @tool
    def look(q: str) -> str:
        """Look."""
        raise ToolException("a private mishap")

    look.handle_tool_error = handled
    calling = [Reply(tool_calls=[("look", {"q": "x"})], entropies=peak(1)), Reply("sorry", entropies=peak(2))]
    run(best_of_n(clerk(calling, [Reply("a", entropies=peak(1))], tools=(look,)), n=2))
    told = spans().one("execute_tool look")
    assert told.status.status_code is StatusCode.ERROR
    assert told.attributes["error.type"] == ("_OTHER" if handled else "langchain_core.tools.base.ToolException")
    assert "private" not in spans().text()


def test_another_selector_is_named(spans):
    best_of_n(clerk([Reply("a", entropies=peak(1))]), n=1, selector=MeanEntropy()).run(ASKED)
    rollout = spans().rollout(0)
    assert rollout.attributes["ec_agent.selector"] == "mean_entropy"
    assert rollout.events[0].attributes["gen_ai.evaluation.name"] == "mean_entropy"


def test_the_thread_is_the_conversation(spans):
    best_of_n(clerk([Reply("a", entropies=peak(1))]), n=1).invoke(ASKED, {"configurable": {"thread_id": "t-7"}})
    assert spans().one("best_of_n clerk").attributes["gen_ai.conversation.id"] == "t-7"


def test_calls_and_tools_can_be_left_to_others(spans, provider):
    instrument(provider[0], calls=False, tools=False)
    best_of_n(clerk(searching(2)), n=1).run(ASKED)
    assert [span.name for span in spans().under(spans().rollout(0))] == ["database"]


def test_kinds(spans):
    best_of_n(clerk(searching(2)), n=1).run(ASKED)
    kinds = {span.name: span.kind for span in spans().spans}
    assert kinds.pop("chat scripted") is SpanKind.CLIENT
    assert set(kinds.values()) == {SpanKind.INTERNAL}


def test_every_attribute_is_documented(spans):
    page = (Path(__file__).parents[2] / "docs/tracing.md").read_text()
    scripts = [[Reply("a", entropies=peak(1))], [Reply("a", entropies=peak(1))], [Reply(error=ValueError())]]
    best_of_n(clerk(*scripts, searching(4)), n=4).run(ASKED)
    ours = {name for span in spans().spans for name in span.attributes if name.startswith("ec_agent.")}
    assert {"ec_agent.rollout.same_as", "ec_agent.rollout.reason"} <= ours
    assert [name for name in ours if not re.search(rf"[`.]{name.rpartition('.')[2]}[` ]", page)] == [
        name for name in ours if name in ("ec_agent.config.bottom_percent", "ec_agent.config.consecutive_low")
    ]


def test_off_again(spans):
    uninstrument()
    best_of_n(clerk([Reply("a", entropies=peak(1))]), n=1).run(ASKED)
    assert spans().spans == Tree([]).spans
