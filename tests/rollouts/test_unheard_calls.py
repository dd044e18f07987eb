"""Calls that nobody heard, beside calls that were: each counts once, in its place."""

from __future__ import annotations

import operator
import threading
from typing import Annotated, Any
from uuid import uuid4

import kit
import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send, interrupt

from ec_agent import CallFilter, Limits, NoScoredRolloutError, best_of_n
from ec_agent.testing import Reply, ScriptedChatModel, message_of

pytestmark = kit.SAME

HERE = [0.1] * 10 + [0.2] + [0.1] * 9
AWAY = [2.9] * 6 + [0.1] * 24
LATER = [0.1] * 30 + [2.9] * 4 + [0.1] * 6

local = ScriptedChatModel([[Reply("route", entropies=HERE)]])


def here(state):
    return {"messages": [local.invoke([HumanMessage("where to?")])]}


def answered(entropies=AWAY, text="from afar", **fields):
    """What another process sends back."""
    return message_of(Reply(text, entropies=entropies), "remote").model_copy(update=fields)


def away(state):
    return {"messages": [answered()]}


def later(state):
    return {"messages": [answered(LATER, "from farther")]}


def in_a_thread(call):
    """The call made where no context is."""
    done = []
    thread = threading.Thread(target=lambda: done.append(call()))
    thread.start()
    thread.join()
    return done[0]


def result_of(run, agent, ask="go", **options):
    return run.run(best_of_n(agent, n=1, **options), {"messages": ask} if isinstance(ask, str) else ask)


def timelines(result):
    return [list(call.entropies) for call in result.trajectories[0].calls]


def said(run, agent, ask="go", **options):
    """The lengths of the calls on the timeline, in order, and the coverage."""
    result = result_of(run, agent, ask, **options)
    assert result.selection.usage["generated_tokens"] == result.selection.candidates[0].tokens
    return [call.tokens for call in result.trajectories[0].calls], result.selection.candidates[0].coverage


CHAINS = {
    "after": ((here, away), [20, 30]),
    "before": ((away, here), [30, 20]),
    "around": ((away, here, later), [30, 20, 40]),
    "between": ((here, away, here), [20, 30, 20]),
    "several": ((here, away, later, here), [20, 30, 40, 20]),
    "alone": ((away, later), [30, 40]),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_calls_stand_where_their_nodes_ran(run, chain):
    nodes, lengths = CHAINS[chain]
    agent = kit.graph(MessagesState, **{f"n{place}": node for place, node in enumerate(nodes)})
    result = result_of(run, agent)
    assert [call.tokens for call in result.trajectories[0].calls] == lengths
    assert result.selection.candidates[0].coverage == 1.0
    assert not [note for note in result.selection.warnings if "place" in note or "hear" in note]


def test_all_calls_count_for_the_centroid(run):
    def where(state):
        return {"messages": [answered(LATER if kit.rollout_index() == 0 else AWAY, f"answer {kit.rollout_index()}")]}

    node = best_of_n(kit.graph(MessagesState, here=here, away=where), n=3)
    result = run.run(node, {"messages": "go"})
    assert result.selection.winner == 1
    assert [candidate.tokens for candidate in result.selection.candidates] == [60, 50, 50]


@pytest.mark.parametrize("order", ["before", "after", "between"])
def test_a_contextless_thread_beside_a_heard_call(run, order):
    """Within one node the order of the messages tells."""
    other = ScriptedChatModel([[Reply("x", entropies=AWAY)]])

    def both(state):
        first = local.invoke("?")
        threaded = in_a_thread(lambda: other.invoke("?"))
        last = local.invoke("?")
        messages = {
            "before": [threaded, first, last],
            "after": [first, last, threaded],
            "between": [first, threaded, last],
        }
        return {"messages": messages[order]}

    lengths = {"before": [30, 20, 20], "after": [20, 20, 30], "between": [20, 30, 20]}
    assert said(run, kit.graph(MessagesState, both=both)) == (lengths[order], 1.0)


def test_equal_answers_may_be_two_calls(run):
    """Runs of their own, whose messages say so: equal logprobs do not make them one."""

    def twice(state):
        return {"messages": [local.invoke("?"), in_a_thread(lambda: local.invoke("?"))]}

    assert said(run, kit.graph(MessagesState, twice=twice)) == ([20, 20], 1.0)


def test_a_function_agent_in_both_forms_of_message(run):
    def agent(state):
        told = local.invoke("?")
        return {"messages": [told.model_dump(), answered().model_dump(), answered(LATER)]}

    assert said(run, agent) == ([20, 30, 40], 1.0)


def test_a_whole_state_from_a_server(run):
    """Its messages are dicts, what it was asked and what was heard here among them."""
    before = AIMessage("earlier", id="e", response_metadata=answered(LATER).response_metadata)

    def remote(state):
        sent = [message.model_dump() for message in state["messages"]]
        return {"messages": [*sent, answered(id="r1").model_dump()]}

    agent = kit.graph(MessagesState, here=here, away=remote, again=remote)
    ask = {"messages": [HumanMessage("hi", id="h"), before, HumanMessage("go", id="g")]}
    assert said(run, agent, ask) == ([20, 30], 1.0)


# The same answer again


def renamed(message):
    return message.model_copy(update={"id": str(uuid4()), "name": "expert"})


def rewritten(message):
    return AIMessage("shorter", response_metadata=message.response_metadata, usage_metadata=message.usage_metadata)


def cut(message):
    """Of logprobs only the beginning is kept."""
    entries = message.response_metadata["logprobs"]["content"][:12]
    metadata = {**message.response_metadata, "logprobs": {"content": entries}}
    return message.model_copy(update={"response_metadata": metadata, "content": "sho"})


def through_json(message):
    return message.model_validate_json(message.model_dump_json())


def without_logprobs(message):
    metadata = {key: value for key, value in message.response_metadata.items() if key != "logprobs"}
    return message.model_copy(update={"response_metadata": metadata, "id": "other"})


AGAIN = {
    "the message itself": lambda message: message,
    "a copy": lambda message: message.model_copy(deep=True),
    "renamed": renamed,
    "another text": rewritten,
    "cut": cut,
    "through json": through_json,
    "as a dict": lambda message: message.model_dump(),
    "in a tool's artifact": lambda message: ToolMessage(
        "x", tool_call_id="c", artifact={"messages": [renamed(message)]}
    ),
}


@pytest.mark.parametrize("form", [*AGAIN, "without logprobs"])
@pytest.mark.parametrize("first", [here, away], ids=["heard", "unheard"])
def test_an_answer_written_twice_counts_once(run, first, form):
    again = {**AGAIN, "without logprobs": without_logprobs}[form]

    def repeat(state):
        return {"messages": [again(state["messages"][-1])]}

    lengths = [20 if first is here else 30]
    assert said(run, kit.graph(MessagesState, first=first, repeat=repeat)) == (lengths, 1.0)
    assert said(run, kit.graph(MessagesState, first=first, repeat=repeat, last=later)) == ([*lengths, 40], 1.0)


def test_a_rewritten_history(run):
    def shorten(state):
        kept = state["messages"][-2:]
        gone = [RemoveMessage(id=message.id) for message in state["messages"]]
        return {"messages": [*gone, HumanMessage("summary"), *[renamed(message) for message in kept]]}

    assert said(run, kit.graph(MessagesState, a=here, b=away, c=shorten, d=later)) == ([20, 30, 40], 1.0)


def test_a_message_of_joined_answers_is_no_call(run):
    other = ScriptedChatModel([[Reply("x", entropies=AWAY)]])

    def merge(state):
        parts = [local.invoke("?"), other.invoke("?")]
        entries = [entry for part in parts for entry in part.response_metadata["logprobs"]["content"]]
        return {"messages": [AIMessage("both", response_metadata={"logprobs": {"content": entries}})]}

    assert said(run, kit.graph(MessagesState, merge=merge)) == ([20, 30], 1.0)


def test_a_new_answer_under_an_old_id_counts(run):
    def revise(state):
        return {"messages": [answered([0.1] * 11 + [1.2] + [0.1] * 8, id=state["messages"][-1].id)]}

    assert said(run, kit.graph(MessagesState, here=here, revise=revise)) == ([20, 20], 1.0)


@pytest.mark.parametrize("where", ["state", "messages"])
def test_one_message_written_by_two_nodes_counts_once(run, where):
    class Drafted(MessagesState):
        draft: Any

    kept = {}

    def draft(state):
        kept[kit.rollout_index()] = answered()
        key, value = ("draft", kept[kit.rollout_index()]) if where == "state" else ("messages", [kept[0]])
        return {key: value}

    def publish(state):
        return {"messages": [state["draft"] if where == "state" else kept[0]]}

    assert said(run, kit.graph(Drafted, here=here, draft=draft, publish=publish)) == ([20, 30], 1.0)


def test_equal_answers_without_ids_count_once(run):
    """Nobody can tell a copy from another call's answer."""
    result = result_of(run, kit.graph(MessagesState, here=here, a=away, b=away))
    assert [call.tokens for call in result.trajectories[0].calls] == [20, 30]
    assert any("the same content as another" in note for note in result.selection.warnings)


def test_messages_of_the_input_are_no_calls(run):
    asked = [answered(LATER, "earlier"), HumanMessage("go")]
    again = kit.graph(MessagesState, here=here, again=lambda s: {"messages": [renamed(s["messages"][0])]})
    assert said(run, again, {"messages": asked}) == ([20], 1.0)
    function = best_of_n(lambda s: {"messages": [local.invoke("?"), *s["messages"]]}, n=1)
    (trajectory,) = run.run(function, {"messages": asked}).trajectories
    assert [call.tokens for call in trajectory.calls] == [20]


# Beside one another


def sides(**nodes):
    """An agent whose nodes run side by side."""
    builder = StateGraph(MessagesState)
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
    return builder.compile()


@pytest.mark.parametrize("nodes", [{"a": here, "b": away}, {"a": away, "b": here}, {"a": away, "b": later}])
def test_an_unknown_place_is_reported(run, nodes):
    result = result_of(run, sides(**nodes))
    assert result.selection.candidates[0].tokens == (50 if here in nodes.values() else 70)
    assert any("place of" in note and "not known" in note for note in result.selection.warnings)


def test_beside_a_call_without_message_too(run):
    def both(state):
        local.invoke("which way?")
        return {"messages": [answered()]}

    result = result_of(run, kit.graph(MessagesState, both=both))
    assert result.selection.candidates[0].tokens == 50
    assert any("place of 1 calls is not known" in note for note in result.selection.warnings)


def test_workers_that_are_sent_out(run):
    class Mapped(MessagesState):
        done: Annotated[list[Any], operator.add]

    builder = StateGraph(Mapped)
    builder.add_node("worker", lambda part: {"done": [answered([2.0] + [0.1] * part["n"], f"part {part['n']}")]})
    builder.add_node("here", here)
    builder.add_conditional_edges(START, lambda s: [Send("worker", {"n": n}) for n in (9, 8, 7)], ["worker"])
    builder.add_edge("worker", "here")
    builder.add_edge("here", END)
    result = result_of(run, builder.compile())
    assert [call.tokens for call in result.trajectories[0].calls] == [10, 9, 8, 20]
    assert any("place of 3 calls" in note for note in result.selection.warnings)


# Around a rollout's end


class Receipt(MessagesState):
    receipt: dict[str, Any]


def test_calls_before_a_question_count_once(run):
    """The nested graph writes it only once the question was answered."""
    ask = {"ask": lambda s: {"messages": [HumanMessage(interrupt("ok?"))]}}
    inner = kit.graph(MessagesState, a=here, b=away, **ask, c=later)
    node = best_of_n(kit.graph(MessagesState, sub=inner, last=here), n=2, selection_key="receipt")
    graph = kit.outer(node, Receipt, checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, kit.THREAD)
    done = run.invoke(graph, Command(resume="yes"), kit.THREAD)
    assert [candidate["tokens"] for candidate in done["receipt"]["candidates"]] == [50, 50]
    assert done["receipt"]["usage"]["generated_tokens"] == 2 * 50 + 40 + 20


def test_calls_before_an_action_count_once(run):
    @tool
    def send(to: str) -> str:
        """Send."""
        return "sent"

    planned = Reply("x", tool_calls=[("send", {"to": "a"})], entropies=AWAY)
    nodes = {"here": here, "plan": lambda s: {"messages": [message_of(planned, "remote")]}}
    again = {"again": lambda s: {"messages": [renamed(m) for m in s["messages"] if isinstance(m, AIMessage)]}}
    agent = kit.graph(MessagesState, **nodes, tools=ToolNode([send]), last=here, **again)
    node = best_of_n(agent, n=2, commit=["send"], on_commit="execute", continue_after_commit=True)
    selection = run.run(node, {"messages": "go"}).selection
    assert [candidate.tokens for candidate in selection.earlier[0].candidates] == [50, 50]
    assert [candidate.tokens for candidate in selection.candidates] == [20, 20]
    assert selection.usage["generated_tokens"] == 2 * 50 + 2 * 20


def test_unheard_calls_before_an_interrupt_count(run):
    inner = kit.graph(MessagesState, a=here, b=away, ask=lambda s: {"messages": [HumanMessage(interrupt("ok?"))]})
    agent = kit.graph(MessagesState, sub=inner)
    assert said(run, agent) == ([20, 30], 1.0)


@pytest.mark.parametrize("where", ["sub", "own"])
def test_an_unheard_call_for_a_commit(run, where):
    @tool
    def send(to: str) -> str:
        """Send."""
        raise AssertionError("it ran")

    def plan(state):
        return {"messages": [message_of(Reply("x", tool_calls=[("send", {"to": "a"})], entropies=AWAY), "remote")]}

    inner = kit.graph(MessagesState, here=here, plan=plan, tools=ToolNode([send]))
    agent = kit.graph(MessagesState, sub=inner) if where == "sub" else inner
    assert said(run, agent, commit=["send"]) == ([20, 30], 1.0)


@pytest.mark.parametrize("keep", [False, True])
def test_a_nested_questions_calls_count_once(run, keep):
    inner = best_of_n(kit.graph(MessagesState, here=here, away=away), n=2, keep_logprobs=keep)
    result = result_of(run, kit.graph(MessagesState, inner=inner, later=later))
    assert [call.tokens for call in result.trajectories[0].calls] == [20, 30, 40]
    assert result.selection.usage["generated_tokens"] == 2 * 50 + 40


def test_a_command_to_the_parent_brings_its_messages(run):
    def leave(state):
        return Command(graph=Command.PARENT, update={"messages": [answered()]}, goto=END)

    assert said(run, kit.graph(MessagesState, here=here, leave=leave)) == ([20, 30], 1.0)


# Limits, filters, and what cannot be measured


def test_limits_apply_after_the_step(run):
    agent = kit.graph(MessagesState, here=here, away=away, then=lambda s: pytest.fail("went on"))
    node = best_of_n(agent, n=1, limits=Limits(max_tokens=45), on_unscored="first")
    with pytest.raises(Exception, match=r"generated 50 tokens with max_tokens=45"):
        run.run(node, {"messages": "go"})


def test_a_filter_by_node_sees_the_node(run):
    agent = kit.graph(MessagesState, here=here, away=away, later=later)
    result = result_of(run, agent, calls=CallFilter(exclude_nodes=["away"]))
    assert [call.node for call in result.trajectories[0].calls] == ["here", "later"]
    assert result.selection.usage["generated_tokens"] == 90


@pytest.mark.parametrize("kind", ["count", "no count"])
def test_a_remote_run_without_logprobs_is_reported(run, kind):
    mute = Reply("mute", tokens=40 if kind == "count" else None)
    other = ScriptedChatModel([[mute]])

    def mixed(state):
        return {"messages": [local.invoke("?"), in_a_thread(lambda: other.invoke("?"))]}

    agent = kit.graph(MessagesState, mixed=mixed)
    result = result_of(run, agent, on_unscored="first")
    (candidate,) = result.selection.candidates
    assert candidate.coverage == (20 / 60 if kind == "count" else None)
    assert candidate.reason == "coverage"
    assert any("so their tokens count as gaps" in note for note in result.selection.warnings)
    with pytest.raises(NoScoredRolloutError):
        result_of(run, agent)


def test_an_abandoned_stream_is_not_another_call(run):
    def half(state):
        stream = local.stream("?")
        whole = next(stream) + next(stream)
        return {"messages": [AIMessage(**whole.model_dump(exclude={"type", "tool_call_chunks"}))]}

    lengths, _ = said(run, kit.graph(MessagesState, half=half, away=away))
    assert lengths[1:] == [30]
    assert lengths[0] < 20


@pytest.mark.parametrize(("asked", "told", "noted"), [(10, 60, True), (10, 61, False), (9, 60, False), (0, 60, False)])
def test_a_usage_that_may_be_summed_is_reported(run, asked, told, noted):
    usage = {"input_tokens": asked, "output_tokens": told, "total_tokens": asked + told}
    agent = kit.graph(MessagesState, remote=lambda state: {"messages": [answered(usage_metadata=usage)]})
    result = result_of(run, agent, min_coverage=0.1)
    assert result.selection.candidates[0].coverage == 30 / told
    assert any("a whole multiple of the tokens" in warning for warning in result.selection.warnings) is noted
