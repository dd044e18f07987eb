from __future__ import annotations

import operator
from typing import Annotated

import pytest
from asking import chat, timelines
from fake_openai import Answer
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from ec_agent import CallFilter, CallInfo, ConfigError, IdenticalRolloutsWarning, best_of_n, record_calls
from ec_agent.capture.recorder import Recorder
from ec_agent.testing import Reply, ScriptedChatModel


class State(TypedDict):
    out: Annotated[list, operator.add]


@pytest.fixture
def told(fake):
    fake.answers.update(plan=Answer([0.25]), user=Answer([0.5]), deep=Answer([0.75]), judge=Answer([1.0]))
    return fake


@pytest.fixture
def conversation(told, chat_model, client):
    """``plan`` asks, ``simulated_user`` (a graph, with a graph in it) asks twice, ``verdict`` asks as a judge."""
    model = chat_model()
    deep = StateGraph(State)
    deep.add_node("deep", lambda state: {"out": [client.chat.completions.create(**chat("deep")).model]})
    deep.add_edge(START, "deep")
    user = StateGraph(State)
    user.add_node("say", lambda state: {"out": [model.invoke("user").content]})
    user.add_node("think", deep.compile())
    user.add_edge(START, "say")
    user.add_edge("say", "think")
    builder = StateGraph(State)
    builder.add_node("plan", lambda state: {"out": [model.invoke("plan").content]})
    builder.add_node("simulated_user", user.compile())
    builder.add_node(
        "verdict",
        lambda state: {"out": [model.invoke("judge", config={"tags": ["judge"], "metadata": {"role": "j"}}).content]},
    )
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "simulated_user")
    builder.add_edge("simulated_user", "verdict")
    return builder.compile()


PLAN, USER, DEEP, JUDGE = [0.25], [0.5], [0.75], [1.0]

CASES = {
    "no filter": (None, [PLAN, USER, DEEP, JUDGE]),
    "empty filter": (CallFilter(), [PLAN, USER, DEEP, JUDGE]),
    "node": (CallFilter(nodes=["plan"]), [PLAN]),
    "node and all below it": (CallFilter(nodes=["simulated_user"]), [USER, DEEP]),
    "a node in a subgraph": (CallFilter(nodes=["think"]), [DEEP]),
    "several nodes": (CallFilter(nodes={"say", "verdict"}), [USER, JUDGE]),
    "not a node": (CallFilter(exclude_nodes=["simulated_user"]), [PLAN, JUDGE]),
    "not an inner node": (CallFilter(exclude_nodes=["deep"]), [PLAN, USER, JUDGE]),
    "in but for": (CallFilter(nodes=["simulated_user"], exclude_nodes=["think"]), [USER]),
    "tag": (CallFilter(tags=["judge", "other"]), [JUDGE]),
    "not a tag": (CallFilter(exclude_tags=["judge"]), [PLAN, USER, DEEP]),
    "metadata": (CallFilter(metadata={"role": "j"}), [JUDGE]),
    "metadata that differs": (CallFilter(metadata={"role": "x"}), []),
    "ambient metadata": (CallFilter(metadata={"langgraph_node": "deep"}), [DEEP]),
    "metadata no call has": (CallFilter(metadata={"absent": None}), []),
    "predicate": (lambda call: call.node in ("plan", "deep"), [PLAN, DEEP]),
    "path": (lambda call: len(call.path) > 1, [USER, DEEP]),
    "model": (lambda call: call.model == "fake-model", [PLAN, USER, DEEP, JUDGE]),
}


@pytest.mark.parametrize("case", CASES)
def test_which_calls_count(case, conversation):
    calls, expected = CASES[case]
    with record_calls(calls=calls) as recorder:
        conversation.invoke({"out": []})
    assert timelines(recorder) == expected
    assert len(recorder.every_call()) == 4


@pytest.mark.parametrize("case", CASES)
async def test_which_calls_count_async(case, conversation):
    calls, expected = CASES[case]
    with record_calls(calls=calls) as recorder:
        await conversation.ainvoke({"out": []})
    assert timelines(recorder) == expected


def test_filters_see_path_tags_and_metadata(conversation):
    seen = []
    with record_calls(calls=lambda call: bool(seen.append(call)) or True):
        conversation.invoke({"out": []}, config={"tags": ["mine"], "metadata": {"who": "me"}})
    assert [call.path for call in seen] == [
        ("plan",),
        ("simulated_user", "say"),
        ("simulated_user", "think", "deep"),
        ("verdict",),
    ]
    assert [call.node for call in seen] == ["plan", "say", "deep", "verdict"]
    assert all(isinstance(call, CallInfo) and call.model == "fake-model" for call in seen)
    assert all("mine" in call.tags and call.metadata["who"] == "me" for call in seen)


def test_outside_a_graph_there_is_no_node(told, client, chat_model):
    seen = []
    with record_calls(calls=lambda call: bool(seen.append(call)) or True):
        client.chat.completions.create(**chat("plan"))
        chat_model().invoke("plan")
    assert [(call.node, call.path) for call in seen] == [(None, ()), (None, ())]


def test_the_rollouts_leave_excluded_calls_out(conversation):
    node = best_of_n(conversation, n=2, calls=CallFilter(exclude_nodes=["simulated_user"], exclude_tags=["judge"]))
    with pytest.warns(IdenticalRolloutsWarning):
        result = node.run({"out": []})
    assert [[list(call.entropies.round(6)) for call in t.calls] for t in result.trajectories] == [[PLAN]] * 2


def test_a_rollout_inside_a_node_is_in_that_node():
    model = ScriptedChatModel([[Reply("x", entropies=[0.25])], [Reply("y", entropies=[0.5])]])
    inner = best_of_n(lambda state: {"out": [model.invoke("x").content]}, n=2)
    builder = StateGraph(State)
    builder.add_node("simulated_user", inner)
    builder.add_node("plan", lambda state: {"out": [model.invoke("x").content]})
    builder.add_edge(START, "simulated_user")
    builder.add_edge("simulated_user", "plan")
    graph = builder.compile()
    for calls, expected in [
        (None, 2),
        (CallFilter(exclude_nodes=["simulated_user"]), 1),
        (CallFilter(nodes=["simulated_user"]), 1),
        (CallFilter(tags=["mine"]), 2),
        (CallFilter(exclude_tags=["mine"]), 0),
    ]:
        with record_calls(calls=calls) as recorder:
            graph.invoke({"out": []}, config={"tags": ["mine"]})
        assert len(timelines(recorder)) == expected


def test_a_raising_filter_fails_at_reading(told, chat_model, client):
    def predicate(call):
        raise LookupError("mine")

    with record_calls(calls=predicate) as recorder:
        assert chat_model().invoke("plan").content == "w0 "
        client.chat.completions.create(**chat("plan"))
    with pytest.raises(LookupError, match="mine"):
        recorder.trajectory()
    assert len(recorder.every_call()) == 2


def test_a_predicate_that_raises_fails_its_rollouts(told):
    def predicate(call):
        raise LookupError("mine")

    model = ScriptedChatModel([[Reply("x", entropies=[0.5])]])
    with pytest.raises(Exception, match="mine"):
        best_of_n(lambda state: {"out": [model.invoke("x").content]}, n=2, calls=predicate).invoke({"out": []})


@pytest.mark.parametrize(
    "arguments",
    [
        {"nodes": "plan"},
        {"tags": "judge"},
        {"exclude_nodes": "plan"},
        {"exclude_tags": "judge"},
        {"nodes": 5},
        {"exclude_nodes": None},
        {"exclude_tags": None},
        {"tags": [["a"]]},
        {"metadata": ["role"]},
        {"metadata": "role"},
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        CallFilter(**arguments)


def test_iterables_are_read_once():
    calls = CallFilter(nodes=(name for name in ["plan"]))
    assert calls(CallInfo(path=("plan",)))
    assert calls(CallInfo(path=("plan",)))


async def asynchronous(call):
    return True


class Awaited:
    """An object that is called like a function, whose answer is to be awaited."""

    async def __call__(self, call):
        return True


@pytest.mark.parametrize("calls", [5, "plan", ["plan"], asynchronous, CallFilter, Awaited()])
def test_what_is_no_filter(calls):
    with pytest.raises(ConfigError, match="calls"):
        Recorder(calls=calls)
    with pytest.raises(ConfigError, match="calls"):
        best_of_n(lambda state: {}, n=2, calls=calls)
    with pytest.raises(ConfigError, match="calls"), record_calls(calls=calls):
        pass
