"""Commits in agents of other shapes: nested graphs, calls by hand, functions, rollouts within rollouts."""

from __future__ import annotations

import kit
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import MessagesState

from ec_agent import AllRolloutsFailedError, best_of_n
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)  # rollout 1 wins
EXECUTE = {"on_commit": "execute"}
GO_ON = {"on_commit": "execute", "continue_after_commit": True}


@pytest.fixture
def sent():
    return []


@pytest.fixture
def send(sent):
    @tool
    def send(to: str) -> str:
        """Send."""
        sent.append(to)
        return f"sent to {to}"

    return send


def model():
    """A call of ``send``, and then an answer."""
    return ScriptedChatModel(
        [
            [
                Reply(tool_calls=[("send", {"to": f"r{i}"})], entropies=kit.peak(at)),
                Reply(f"done {i}", entropies=[0.1] * 20),
            ]
            for i, at in enumerate(PEAKS)
        ]
    )


def said(done):
    return [(m.type, m.content or [c["args"]["to"] for c in m.tool_calls]) for m in done["messages"]]


GO, PRE, CALL, SENT = ("human", "go"), ("human", "pre"), ("ai", ["r1"]), ("tool", "sent to r1")


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, [GO, PRE, CALL]),
        (EXECUTE, [GO, PRE, CALL, SENT]),
        (GO_ON, [GO, PRE, CALL, SENT, ("ai", "done 0"), ("human", "post")]),
    ],
)
def test_a_stop_in_a_subgraph_keeps_its_conversation(run, send, sent, options, left):
    """A nested graph writes when it ends, and this one was stopped; what it had said is written all the same, once."""
    agent = kit.graph(
        MessagesState,
        pre=lambda state: {"messages": [("human", "pre")]},
        sub=create_agent(model(), [send]),
        post=lambda state: {"messages": [("human", "post")]},
    )
    graph = kit.outer(best_of_n(agent, n=3, commit=["send"], **options))
    assert said(run.invoke(graph, {"messages": "go"})) == left
    assert sent == (["r1"] if options else [])


@pytest.mark.parametrize("options", [EXECUTE, GO_ON])
def test_a_node_that_calls_a_tool_itself(run, send, sent, options):
    speaker = kit.say(*PEAKS)
    agent = kit.graph(
        MessagesState,
        model=lambda state: {"messages": [speaker.invoke(state["messages"])]},
        pay=lambda state: {"messages": [("human", send.invoke({"to": state["messages"][-1].content}))]},
    )
    done = run.invoke(kit.outer(best_of_n(agent, n=3, commit=[send], **options)), {"messages": "go"})
    assert said(done) == [GO, ("ai", "answer 1"), ("human", "sent to answer 1")]
    assert sent == ["answer 1"]


def test_a_nodes_own_call_is_routed_as_message(run, send, sent):
    speaker = kit.say(*PEAKS)
    agent = kit.graph(
        MessagesState,
        model=lambda state: {"messages": [speaker.invoke(state["messages"])]},
        pay=lambda state: {"messages": [("human", send.invoke({"to": "x"}))]},
    )
    done = run.invoke(kit.outer(best_of_n(agent, n=3, commit=[send])), {"messages": "go"})
    assert said(done) == [GO, ("ai", "answer 1"), ("ai", ["x"])]
    assert sent == []


def in_one_node(send):
    asked = model()

    def agent(state):
        answer = asked.invoke(state["messages"])
        return {"messages": [answer, *(send.invoke(call) for call in answer.tool_calls)]}

    return agent


def test_a_function_that_asks_and_acts(run, send, sent):
    graph = kit.outer(best_of_n(in_one_node(send), n=3, commit=[send], **EXECUTE))
    assert said(run.invoke(graph, {"messages": "go"})) == [GO, CALL, SENT]
    alone = best_of_n(in_one_node(send), n=3, commit=[send], **EXECUTE)
    assert said(run.invoke(alone, {"messages": [("human", "go")]})) == [CALL, SENT]
    assert sent == ["r1", "r1"]


def test_a_function_that_asks_and_acts_cannot_go_on(run, send, sent):
    graph = kit.outer(best_of_n(in_one_node(send), n=3, commit=[send], **GO_ON))
    with pytest.raises(AllRolloutsFailedError, match="give the tools a node of their own"):
        run.invoke(graph, {"messages": "go"})
    assert sent == []


@pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
def test_inside_a_rollout_nothing_is_carried_out(run, send, sent):
    inner = best_of_n(create_agent(model(), [send]), n=3, commit=[send], **EXECUTE)
    around = kit.outer(best_of_n(kit.graph(MessagesState, inner=inner), n=2))
    assert said(run.invoke(around, {"messages": "go"})) == [GO, CALL]
    assert sent == []
    around = kit.outer(best_of_n(inner, n=2, commit=[send], **EXECUTE))
    assert said(run.invoke(around, {"messages": "go"})) == [GO, CALL, SENT]
    assert sent == ["r1"]


def test_an_agent_that_ends_before_its_tools(run, send, sent):
    agent = create_agent(model(), [send], interrupt_before=["tools"])
    done = run.invoke(kit.outer(best_of_n(agent, n=3, commit=["send"], **EXECUTE)), {"messages": "go"})
    assert said(done) == [GO, CALL, SENT]
    assert sent == ["r1"]


def test_messages_written_as_tuples_stay_one_message(run):
    """The state gave them their ids; a nested graph's writes hold them again."""
    agent = kit.graph(
        MessagesState,
        pre=lambda state: {"messages": [("human", "pre"), {"role": "user", "content": "pre"}]},
        sub=kit.chat(kit.say(*PEAKS)),
    )
    done = run.invoke(kit.outer(best_of_n(agent, n=3)), {"messages": "go"})
    assert [m.content for m in done["messages"]] == ["go", "pre", "pre", "answer 1"]
