"""A committing tool may ask somebody before it acts: the winner's alone does, and acts on the answer, once."""

from __future__ import annotations

import kit
import mailing
import pytest
from kit import THREAD
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from mailing import SENT, executing, said

from ec_agent import CommitError


def asking(post):
    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees."""
        answer = interrupt(f"send to {to}?")
        return post.deliver(to) if answer == "yes" else "left undone"

    return send


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_a_tool_may_ask_before_it_acts(run, post, form, answer):
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
def test_each_of_two_questions_gets_its_answer(run, post, form, refused):
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


def test_actions_beside_a_question_are_not_repeated(run, post):
    send = asking(post)
    calls = [("pay", {"amount": 3}), ("send", {"to": "bob"})]
    agent = mailing.agent("tool_node", mailing.script(["no"], [calls, "end"]), [send, post.pay])
    graph = kit.outer(executing(agent, send, post.pay), checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert post.done == [3, "bob"]
    assert [m.content for m in done["messages"]] == ["go", "", "sent 3", "sent bob"]
    assert len({key for key in post.keys if key}) == 2


def asking_thrice(post, *between):
    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees again and again."""
        answers = []
        for question in ("send", "now", "sure"):
            answers.append(interrupt(f"{question} {to}?"))
            answers += [each.invoke({"amount": len(answers)}) for each in between if question == "send"]
        return f"{post.deliver(to)}: {answers}"

    return send


def answered(run, graph, input=None):
    """Run it, and answer each question with itself in capitals; the questions by round, and the end."""
    done, asked = run.invoke(graph, input or {"messages": "go"}, THREAD), []
    while questions := done.get("__interrupt__"):
        asked.append(sorted(each.value for each in questions))
        assert len(asked) <= 3, "a question that was answered is asked again"
        done = run.invoke(graph, Command(resume={each.id: each.value.upper() for each in questions}), THREAD)
    return asked, done["messages"]


def test_a_tool_may_ask_several_times(run, post, form):
    send = asking_thrice(post)
    node = executing(mailing.agent(form, mailing.sending("ann", "bob"), [send, post.search]), send)
    asked, messages = answered(run, kit.outer(node, checkpointer=InMemorySaver()))
    assert asked == [["send bob?"], ["now bob?"], ["sure bob?"]]
    assert messages[-1].content == "sent bob: ['SEND BOB?', 'NOW BOB?', 'SURE BOB?']"
    assert said(messages)[:-1] == SENT[:-1]
    assert post.sent == [("bob", 1)]


def test_calls_side_by_side_may_each_ask_several_times(run, post):
    calls = [("send", {"to": "ann"}), ("pay", {"amount": 3}), ("send", {"to": "bob"})]
    send = asking_thrice(post)
    agent = mailing.agent("create_agent", mailing.script(["no"], [calls, "end"]), [send, post.pay])
    asked, messages = answered(run, kit.outer(executing(agent, send, post.pay), checkpointer=InMemorySaver()))
    assert asked == [[f"{each} {name}?" for name in ("ann", "bob")] for each in ("send", "now", "sure")]
    mine = [
        f"sent {name}: {[f'{each} {name.upper()}?' for each in ('SEND', 'NOW', 'SURE')]}" for name in ("ann", "bob")
    ]
    assert [m.content for m in messages[2:]] == [mine[0], "sent 3", mine[1]]
    assert sorted(map(str, post.done)) == ["3", "ann", "bob"]


def test_a_commit_between_questions_is_done_once(run, post):
    send = asking_thrice(post, post.pay)
    agent = mailing.agent("create_agent", mailing.sending("ann", "bob"), [send, post.search])
    asked, messages = answered(run, kit.outer(executing(agent, send, post.pay), checkpointer=InMemorySaver()))
    assert [each for (each,) in asked] == ["send bob?", "now bob?", "sure bob?"]
    assert messages[-1].content == "sent bob: ['SEND BOB?', 'sent 1', 'NOW BOB?', 'SURE BOB?']"
    assert post.done == [1, "bob"]
