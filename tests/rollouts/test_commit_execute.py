"""The winner's calls are carried out, each once; the outer state has what they wrote, each once."""

from __future__ import annotations

import operator
import threading
import time
from typing import Annotated, Any

import kit
import mailing
import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, RetryPolicy, interrupt
from typing_extensions import TypedDict

from ec_agent import CommitError, Limits, best_of_n, commit_tool, get_idempotency_key

THREAD = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def post():
    return mailing.Post()


@pytest.fixture(params=mailing.FORMS)
def form(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["bare", "saved"])
def saver(request):
    return InMemorySaver() if request.param else None


def executing(agent, *commit, **more):
    return best_of_n(agent, n=2, commit=list(commit), on_commit="execute", **more)


def said(messages):
    return [(m.type, m.content) for m in messages]


SENT = [("human", "go"), ("ai", ""), ("tool", "found bob"), ("ai", ""), ("tool", "sent bob")]


def test_the_winner_sends_once_and_nobody_else_does(run, post, form, saver):
    node = executing(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), post.send)
    done = run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.sent == [("bob", 1)]
    assert said(done["messages"]) == SENT
    assert len({m.id for m in done["messages"]}) == len(SENT)
    assert get_idempotency_key() is None


def test_as_an_agent_it_does_the_same(run, post, form):
    result = run.run(
        executing(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), post.send), {"messages": "go"}
    )
    assert post.sent == [("bob", 1)]
    assert said(result.output["messages"]) == SENT


def test_the_receipt_names_what_was_done_and_the_key_it_was_done_under(run, post):
    model = mailing.script(
        *[[[("send", {"to": name}), ("search", {"q": "x"}), ("pay", {"amount": 3})]] for name in "ab"]
    )
    node = executing(mailing.agent("tool_node", model, post.tools), post.send, post.pay)
    selection = run.run(node, {"messages": "go"}).selection
    assert [(c["tool"], c["args"]) for c in selection.commits] == [("send", {"to": "b"}), ("pay", {"amount": 3})]
    assert sorted(c["key"] for c in selection.commits) == sorted(post.keys)
    assert len(set(post.keys)) == 2
    assert type(selection).from_dict(selection.to_dict()) == selection
    assert selection.earlier == ()


@pytest.mark.parametrize("place", [0, 1])
def test_a_harmless_call_beside_it_is_run_once_too(run, post, form, place):
    calls = [("search", {"q": "x"})]
    calls.insert(place, ("send", {"to": "ann"}))
    model = mailing.script([["send"], "end"][1:], [calls, "end"])
    node = executing(mailing.agent(form, model, post.tools), post.send)
    done = run.invoke(kit.outer(node), {"messages": "go"})
    assert (post.done, post.searched) == (["ann"], [("x", 1)])
    texts = ["found x"]
    texts.insert(place, "sent ann")
    assert [m.content for m in done["messages"]] == ["go", "", *texts]


def test_two_commits_of_one_message_are_both_done(run, post, form):
    calls = [("send", {"to": "ann"}), ("send", {"to": "ann"})]
    node = executing(mailing.agent(form, mailing.script(["no"], [calls, "end"]), post.tools), post.send)
    run.invoke(kit.outer(node), {"messages": "go"})
    assert post.done == ["ann", "ann"]
    assert len(set(post.keys)) == 2


def test_a_winner_that_only_answers_sends_nothing(run, post, form, saver):
    model = mailing.script([[("send", {"to": "ann"})], "end"], ["no need"])
    node = executing(mailing.agent(form, model, post.tools), post.send)
    done = run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.sent == []
    assert done["messages"][-1].content == "no need"
    assert saver is None or list(saver.storage) == ["t"]


def test_no_parked_rollout_stays_in_the_checkpointer(run, post, form):
    saver = InMemorySaver()
    node = executing(mailing.agent(form, mailing.sending("ann", "bob"), post.tools), post.send)
    graph = kit.outer(node, checkpointer=saver)
    for turn in range(2):
        run.invoke(graph, {"messages": f"go {turn}"}, THREAD)
    assert list(saver.storage) == ["t"]
    assert post.done == ["bob", "bob"]  # a new turn is a new question
    assert len(set(post.keys)) == 2


class Log(TypedDict):
    messages: Annotated[list, add_messages]
    log: Annotated[list, operator.add]


@pytest.mark.parametrize("goes_on", [False, True])
def test_keys_that_add_up_are_not_doubled(run, post, saver, goes_on):
    model = mailing.script(*[[[("send", {"to": name})], "end"] for name in ("ann", "bob")])

    def ask(state):
        return {"messages": [model.invoke(state["messages"])], "log": ["model"]}

    builder = StateGraph(Log)
    builder.add_node("model", ask)
    builder.add_node("tools", ToolNode(post.tools))
    builder.add_node("beside", lambda s: {"log": ["beside"]})
    builder.add_node("end", lambda s: {"log": ["end"]})
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    builder.add_edge("model", "beside")
    builder.add_edge("tools", "end")
    node = executing(builder.compile(), post.send, continue_after_commit=goes_on)
    graph = kit.outer(node, Log, checkpointer=saver)
    done = run.invoke(graph, {"messages": "go", "log": ["start"]}, THREAD)
    assert done["log"] == ["start", "model", "beside", "end"]
    assert said(done["messages"]) == [("human", "go"), ("ai", ""), ("tool", "sent bob")]
    assert post.done == ["bob"]


def test_a_function_agents_tools_are_called_for_it(run, post):
    def assistant(state):
        asked = mailing.script([[("send", {"to": "ann"})]], [[("send", {"to": "bob"})]]).invoke(state["messages"])
        return {"messages": [asked, *(post.send.invoke(call) for call in asked.tool_calls)]}

    done = run.invoke(kit.outer(executing(assistant, post.send)), {"messages": "go"})
    assert post.done == ["bob"]
    assert said(done["messages"]) == [("human", "go"), ("ai", ""), ("tool", "sent bob")]


def test_a_node_that_asks_and_acts_at_once_does_not_ask_again(run, post):
    model = mailing.script([[("send", {"to": "ann"})]], [[("send", {"to": "bob"})]])
    asked = []

    def both(state):
        reply = model.invoke(state["messages"])
        asked.append(kit.rollout_index())
        return {"messages": [reply, *(post.send.invoke(call) for call in reply.tool_calls)]}

    done = run.invoke(kit.outer(executing(kit.graph(MessagesState, both=both), post.send)), {"messages": "go"})
    assert sorted(asked) == [0, 1]
    assert post.done == ["bob"]
    assert said(done["messages"]) == [("human", "go"), ("ai", ""), ("tool", "sent bob")]


def test_a_commit_that_no_model_asked_for_is_carried_out(run, post):
    def act(state):
        return {"messages": [("human", post.send.invoke({"to": state["messages"][-1].content}))]}

    model = mailing.script(["ann"], ["bob"])
    agent = kit.graph(MessagesState, ask=lambda s: {"messages": [model.invoke(s["messages"])]}, act=act)
    result = run.run(executing(agent, post.send), {"messages": "go"})
    assert post.done == ["bob"]
    assert [c["args"] for c in result.selection.commits] == [{"to": "bob"}]
    assert result.output["messages"][-1].content == "sent bob"


def test_a_harmless_tool_that_commits_is_run_once(run, post, form):
    @tool
    def secretary(to: str) -> str:
        """Have a letter sent."""
        return post.send.invoke({"to": to})

    model = mailing.script(*[[[("secretary", {"to": name})], "end"] for name in ("ann", "bob")])
    done = run.invoke(kit.outer(executing(mailing.agent(form, model, [secretary]), post.send)), {"messages": "go"})
    assert post.done == ["bob"]
    assert done["messages"][-1].content == "sent bob"


def test_two_commits_inside_one_tool_have_keys_of_their_own(run, post):
    @tool
    def secretary(to: str) -> str:
        """Have two letters sent."""
        return post.send.invoke({"to": to}) + post.send.invoke({"to": f"{to}'s boss"})

    model = mailing.script(*[[[("secretary", {"to": name})], "end"] for name in ("ann", "bob")])
    run.invoke(kit.outer(executing(mailing.agent("tool_node", model, [secretary]), post.send)), {"messages": "go"})
    assert post.done == ["bob", "bob's boss"]
    assert len(set(post.keys)) == 2  # else a receiver that leaves a repeated key undone leaves the second one out


def test_of_two_branches_that_would_commit_only_what_was_chosen_is_done_and_that_is(run, post):
    class Two(TypedDict):
        x: list
        y: list
        log: Annotated[list, operator.add]

    models = {key: mailing.script(["no"], [[("send", {"to": key})]]) for key in "xy"}

    def node(key, seconds):
        def use(state):
            time.sleep(seconds)  # the one is chosen, the other comes while it is carried out
            return {"log": [post.send.invoke(call).content for call in state[key][-1].tool_calls]}

        return use

    def ask(key):
        def of(state):
            message = models[key].invoke("?")
            calls = [{**call, "id": f"{key}{i}"} for i, call in enumerate(message.tool_calls)]
            return {key: [message.model_copy(update={"tool_calls": calls})]}

        return of

    builder = StateGraph(Two)
    for key, seconds in (("x", 0.05), ("y", 0.0)):
        builder.add_node(f"ask {key}", ask(key))
        builder.add_node(f"use {key}", node(key, seconds))
        builder.add_edge(START, f"ask {key}")
        builder.add_edge(f"ask {key}", f"use {key}")
    result = run.run(executing(builder.compile(), post.send), {"log": []})
    assert [c["args"]["to"] for c in result.selection.commits] == post.done
    assert result.output["log"] == [f"sent {to}" for to in post.done]


def test_what_a_tool_is_given_and_gives(run, post, saver):
    store = InMemoryStore()

    @tool(response_format="content_and_artifact")
    def send(
        to: str, state: Annotated[dict, InjectedState], shelf: Annotated[Any, InjectedStore], runtime: ToolRuntime
    ) -> Any:
        """Send."""
        shelf.put(("sent",), to, {"messages": len(state["messages"])})
        return post.deliver(to), {"call": runtime.tool_call_id}

    agent = create_agent(mailing.sending("ann", "bob"), [send, post.search], store=store)
    done = run.invoke(kit.outer(executing(agent, send), checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    answer = done["messages"][-1]
    assert (answer.content, answer.artifact) == ("sent bob", {"call": answer.tool_call_id})
    assert [(item.key, item.value) for item in store.search(("sent",))] == [("bob", {"messages": 4})]


@pytest.mark.parametrize("form", ["create_agent", "tool_node", "nested"])
def test_a_tool_may_answer_with_a_command(run, post, form, saver):
    @tool
    def send(to: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Send."""
        return Command(update={"messages": [ToolMessage(post.deliver(to), tool_call_id=tool_call_id)]})

    node = executing(mailing.agent(form, mailing.sending("ann", "bob"), [send, post.search]), send)
    done = run.invoke(kit.outer(node, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


def test_a_result_that_cannot_be_kept_is_no_reason_to_do_it_again(run, post):
    @tool(response_format="content_and_artifact")
    def send(to: str) -> Any:
        """Send."""
        return post.deliver(to), threading.Lock()

    node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), [send, post.search]), send)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    with pytest.raises(TypeError, match="serializable"):  # the state around cannot be kept with it
        run.invoke(graph, {"messages": "go"}, THREAD)
    run.invoke(graph, None, THREAD)
    assert post.done == ["bob"]


def retried(function, saver=None):
    """A graph whose only node is tried again after a LookupError."""
    builder = StateGraph(MessagesState)
    policy = RetryPolicy(retry_on=LookupError, initial_interval=0.01, jitter=False)
    builder.add_node("solve", function, retry_policy=policy)
    builder.add_edge(START, "solve")
    return builder.compile(checkpointer=saver)


def test_a_node_that_is_tried_again_after_a_later_failure_does_not_send_again(run, post, saver):
    node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), post.send)
    failures = ["once"]

    def later(writes):
        if failures:
            raise LookupError(failures.pop())
        return writes

    async def asolve(state):
        return later(await node.ainvoke(state))

    graph = retried(RunnableLambda(lambda state: later(node.invoke(state)), asolve), saver)
    done = run.invoke(graph, {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


def test_so_it_does_where_route_fails_after_the_commit(run, post, saver):
    failures = ["once"]

    def route(winner):
        if failures:
            raise LookupError(failures.pop())
        return END

    node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), post.send, route=route)
    done = run.invoke(retried(node, saver), {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


def test_a_graph_taken_up_again_after_a_failing_node_does_not_send_again(run, post):
    failures = ["once"]

    def after(state):
        if failures:
            raise LookupError(failures.pop())

    node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), post.send)
    graph = kit.graph(MessagesState, solve=node, after=after, checkpointer=InMemorySaver())
    with pytest.raises(LookupError):
        run.invoke(graph, {"messages": "go"}, THREAD)
    done = run.invoke(graph, None, THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


@pytest.mark.parametrize("other", ["ann", "bob"])
def test_two_questions_in_one_node_are_two_questions(run, post, saver, other):
    script = mailing.ScriptedChatModel(
        lambda messages, index: mailing.reply([("send", {"to": f"{messages[-1].content}{index}"})], 3 + index)
    )
    node = executing(mailing.agent("tool_node", script, post.tools), post.send)

    async def aboth(state):
        return [*await node.ainvoke({"messages": "ann"}), *await node.ainvoke({"messages": other})]

    both = RunnableLambda(lambda s: [*node.invoke({"messages": "ann"}), *node.invoke({"messages": other})], aboth)
    run.invoke(kit.outer(both, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.done == ["ann0", f"{other}0"]


def test_a_spent_budget_does_not_keep_the_chosen_action_from_being_done(run, post):
    for over in ("finish", "cut"):
        post.sent.clear()
        limits = Limits(token_budget=80, over_budget=over)
        agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools)
        run.invoke(kit.outer(executing(agent, post.send, limits=limits)), {"messages": "go"})
        assert post.done == ["bob"]


def test_an_action_that_took_long_and_was_done_is_no_failure():
    post = mailing.Post()

    @tool
    def send(to: str) -> str:
        """Send."""
        time.sleep(0.6)
        return post.deliver(to)

    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), [send, post.search])
    done = kit.outer(executing(agent, send, limits=Limits(timeout=0.4))).invoke({"messages": "go"})
    assert said(done["messages"]) == SENT


def test_a_best_of_n_behind_the_commit_is_another_step_and_waits(run, post):
    """After its action a winner stops at the next model, also at one in rollouts of its own."""
    inner_model = mailing.script(*[[[("pay", {"amount": i})], "end"] for i in range(2)])
    inner = executing(mailing.agent("tool_node", inner_model, post.tools), post.pay)
    model = mailing.script(*[[[("send", {"to": name})]] for name in ("ann", "bob")])
    agent = kit.graph(
        MessagesState,
        model=lambda s: {"messages": [model.invoke(s["messages"])]},
        tools=ToolNode(post.tools),
        refine=inner,
    )
    result = run.run(executing(agent, post.send, post.pay), {"messages": "go"})
    assert post.done == ["bob"]
    assert [c["tool"] for c in result.selection.commits] == ["send"]


def test_a_tool_that_is_only_marked_may_be_in_a_node_of_ones_own(run, post):
    def assistant(state):
        asked = mailing.script([[("send", {"to": "ann"})]], [[("send", {"to": "bob"})]]).invoke(state["messages"])
        return {"messages": [asked, *(post.send.invoke(call) for call in asked.tool_calls)]}

    commit_tool(post.send)
    run.invoke(kit.outer(executing(assistant)), {"messages": "go"})
    assert post.done == ["bob"]


def asking(post):
    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees."""
        answer = interrupt(f"send to {to}?")
        return post.deliver(to) if answer == "yes" else "left undone"

    return send


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_a_tool_may_ask_somebody_before_it_acts(run, post, form, answer):
    send = asking(post)
    saver = InMemorySaver()
    node = executing(mailing.agent(form, mailing.sending("ann", "bob"), [send, post.search]), send)
    graph = kit.outer(node, checkpointer=saver)
    stopped = run.invoke(graph, {"messages": "go"}, THREAD)
    assert [each.value for each in stopped["__interrupt__"]] == ["send to bob?"]
    assert post.sent == []
    done = run.invoke(graph, Command(resume=answer), THREAD)
    assert post.sent == ([("bob", 1)] if answer == "yes" else [])
    assert done["messages"][-1].content == ("sent bob" if answer == "yes" else "left undone")
    assert said(done["messages"])[:-1] == SENT[:-1]
    assert list(saver.storage) == ["t"]


@pytest.mark.parametrize("refused", ["ann", "bob"])
def test_of_two_questions_each_has_its_own_answer(run, post, form, refused):
    send = asking(post)
    calls = [("send", {"to": "ann"}), ("send", {"to": "bob"})]
    agent = mailing.agent(form, mailing.script(["no"], [calls, "end"]), [send])
    graph = kit.outer(executing(agent, send), checkpointer=InMemorySaver())
    if form in ("tool_node", "loop"):  # one task for both calls: nobody could tell whose the answer is
        with pytest.raises(CommitError, match="one call a message"):
            run.invoke(graph, {"messages": "go"}, THREAD)
        assert post.done == []
        return
    done, asked = run.invoke(graph, {"messages": "go"}, THREAD), []
    while questions := done.get("__interrupt__"):
        asked += [each.value for each in questions]
        assert len(asked) <= 2
        verdicts = {each.id: "no" if refused in each.value else "yes" for each in questions}
        done = run.invoke(graph, Command(resume=verdicts), THREAD)
    assert sorted(asked) == ["send to ann?", "send to bob?"]
    assert post.done == [name for name in ("ann", "bob") if name != refused]
    texts = [f"sent {name}" if name != refused else "left undone" for name in ("ann", "bob")]
    assert [m.content for m in done["messages"][2:]] == texts


class Numbering(mailing.ScriptedChatModel):
    """A model behind a server that gives every call of a message the same id."""

    def _message(self, reply, messages):
        message = super()._message(reply, messages)
        return message.model_copy(update={"tool_calls": [{**call, "id": "call"} for call in message.tool_calls]})


def test_calls_of_one_message_with_the_same_id_are_not_taken_for_each_other(run, post):
    calls = [("send", {"to": "ann"}), ("send", {"to": "bob"})]
    model = Numbering([[mailing.reply("no", 15)], [mailing.reply(calls), mailing.reply("end")]])
    node = executing(mailing.agent("tool_node", model, post.tools), post.send)
    try:
        result = run.run(node, {"messages": "go"})
    except CommitError:
        assert post.sent == []  # refused, before anything was done
    else:
        assert [c["args"]["to"] for c in result.selection.commits] == post.done
        assert post.done in ([], ["ann", "bob"])


def test_what_was_done_beside_a_question_is_not_done_again_after_the_answer(run, post):
    send = asking(post)
    calls = [("pay", {"amount": 3}), ("send", {"to": "bob"})]
    agent = mailing.agent("tool_node", mailing.script(["no"], [calls, "end"]), [send, post.pay])
    graph = kit.outer(executing(agent, send, post.pay), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert post.done == [3, "bob"]
    assert [m.content for m in done["messages"]] == ["go", "", "sent 3", "sent bob"]
    assert len({key for key in post.keys if key}) == 2


def test_retrying_middleware_does_not_keep_a_commit_from_being_done(run, post):
    agent = create_agent(mailing.sending("ann", "bob"), post.tools, middleware=[mailing.retrying()])
    done = run.invoke(kit.outer(executing(agent, post.send)), {"messages": "go"})
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


def test_a_resumed_task_answers_from_the_journal_with_the_key_of_the_first_try(run, post):
    """What the journal holds is what the state gets, though the process that wrote it is another object."""
    saver = InMemorySaver()

    def graph():
        node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), post.send)
        return kit.graph(MessagesState, solve=node, after=lambda s: interrupt("seen?"), checkpointer=saver)

    run.invoke(graph(), {"messages": "go"}, THREAD)
    done = run.invoke(graph(), Command(resume={"messages": []}), THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT
