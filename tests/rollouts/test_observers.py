"""Observers: who hears of what, in which order, and what one that fails costs."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager

import kit
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, RetryPolicy, interrupt

from ec_agent import ProgressWarning, best_of_n, read_only
from ec_agent.rollouts import observing
from ec_agent.rollouts.observer import Observer, OpenedQuestion
from ec_agent.rollouts.observing import PLACES, Installed, audience_of, observe_everywhere, observed
from ec_agent.selectors import MajorityVote
from ec_agent.stopping import More, Stop
from ec_agent.testing import Reply, ScriptedChatModel

MOMENTS = [name for name, idle in vars(Observer).items() if callable(idle)]
AROUND = [name for name in MOMENTS if name.startswith("around_")]
AT = [
    *(name for name in MOMENTS if name not in AROUND),
    *(f"{name} {when}" for name in AROUND for when in ("in", "out")),
]
ASKED = {"messages": [("user", "go")]}

pytestmark = kit.SAME


class TwoAreEnough:
    def enough(self, candidates, running, n):
        return Stop("there are two") if candidates else More(2)


class Programme:
    """An agent that does all that there is to be told: it breaks once, looks something up, streams, asks, and sends."""

    def __init__(self):
        self.broken = False

        @read_only
        @tool
        def look(q: str) -> str:
            """Look."""
            return f"found {q}"

        @tool
        def send(to: str) -> str:
            """Send."""
            return f"sent {to}"

        def script(messages, index):
            if index == 1 and not self.broken:
                self.broken = True
                return Reply(error=ConnectionError("once"))
            name = "send" if any(message.type == "tool" for message in messages) else "look"
            return Reply(
                "so", tool_calls=[(name, {"q": "a"} if name == "look" else {"to": "b"})], entropies=kit.peak(3 * index)
            )

        model = ScriptedChatModel(script)

        def ask(state):
            whole = None
            for part in model.stream(state["messages"]):
                whole = part if whole is None else whole + part
            return {"messages": [AIMessage(whole.content, tool_calls=whole.tool_calls)]}

        builder = StateGraph(MessagesState)
        builder.add_node("ask", ask)
        builder.add_node("tools", ToolNode([look, send]))
        builder.add_edge(START, "ask")
        builder.add_conditional_edges("ask", tools_condition, ["tools", END])
        builder.add_edge("tools", "ask")
        retry = RetryPolicy(max_attempts=2, initial_interval=0.0, jitter=False, retry_on=ConnectionError)
        self.node = best_of_n(
            builder.compile(), n=3, commit=[send], on_commit="execute", retry=retry, stop=TwoAreEnough()
        )

    def run(self, run, **options):
        result = run.run(self.node, ASKED, **options)
        return result.selection.winner, [message.content for message in result.output["messages"]]


def asking():
    """A graph around a question that a person is to answer."""

    def agent(state):
        model = ScriptedChatModel(lambda messages, index: Reply("x", entropies=kit.peak(index)))
        return {"messages": [model.invoke(state["messages"]), ("human", interrupt("who?"))]}

    return kit.outer(best_of_n(kit.graph(MessagesState, agent=agent), n=2), checkpointer=InMemorySaver())


def everything(told, fails_at=None):
    """An observer of all moments: each is put on the list as it comes, and the one named fails."""
    lock = threading.Lock()

    def put(moment):
        with lock:
            told.append(moment)
        if moment == fails_at:
            raise RuntimeError(f"no good at {moment}")

    def hearing(name):
        return lambda self, *given: put(name)

    def entering(name):
        @contextmanager
        def around(self, *given):
            put(f"{name} in")
            yield
            put(f"{name} out")

        return around

    methods = {name: entering(name) if name in AROUND else hearing(name) for name in MOMENTS}
    return type("Everything", (Observer,), methods)()


def test_every_moment_is_told_in_its_order(run):
    told = []
    with observed(Installed("recording", lambda question: everything(told))):
        Programme().run(run)
        program = len(told)
        graph = asking()
        run.invoke(graph, ASKED, kit.THREAD)
        run.invoke(graph, Command(resume="ann"), kit.THREAD)
    assert set(told) == set(AT)
    first = told[:program]
    assert first[:2] == ["around_question in", "question_asked"]
    assert first[-3:] == ["question_over", "answer_written", "around_question out"]
    assert first.count("rollout_started") == first.count("rollout_ended") == 4  # one was begun again, one sends
    assert first.count("tool_started") == first.count("tool_ended") == 3
    for before, after in itertools.pairwise(["around_choice in", "around_choice out", "chosen", "commit_started"]):
        assert first.index(before) < first.index(after)


def kinds(events):
    """What was told how often, but for parts of streams, which are told now and then."""
    return Counter(event["type"] for event in events if event.get("state") != "streaming")


@pytest.fixture(scope="module")
def undisturbed():
    events = []
    return Programme().run(kit.Sync(), on_event=events.append), kinds(events)


@pytest.mark.parametrize("moment", [each for each in AT if each != "question_waits"])
def test_a_failing_observer_costs_only_a_warning(run, moment, undisturbed):
    told, others, events = [], [], []
    broken = Installed("run", lambda question: everything(told, fails_at=moment), key="broken")
    beside = Installed("recording", lambda question: everything(others))
    with observed(broken, beside), pytest.warns(ProgressWarning) as warned:
        outcome = Programme().run(run, on_event=events.append)
    assert (outcome, kinds(events)) == undisturbed
    assert others[-1] == "around_question out"
    (warning,) = [each for each in warned if each.category is ProgressWarning]
    assert f"run failed at {moment.split(' ')[0].replace('_', ' ')} (RuntimeError('no good at {moment}'))" in str(
        warning.message
    )
    assert "is not called again; the run goes on" in str(warning.message)
    later = [each for each in told[told.index(moment) + 1 :] if not each.endswith(" out")]  # what was entered is left
    assert len(later) <= 2, later  # the rollouts beside it may be in the middle of telling


def test_an_observer_that_fails_when_made(run):
    def failing(question):
        raise LookupError(question.agent)

    with observed(Installed("recording", failing)), pytest.warns(ProgressWarning, match="recording failed at making"):
        run.invoke(kit.outer(best_of_n(kit.chat(kit.say(3, 9)), n=2)), ASKED)


@pytest.mark.parametrize("swallows", [True, False])
def test_an_observer_cannot_swallow_a_questions_error(run, swallows):
    seen = []

    class Swallowing(Observer):
        @contextmanager
        def around_question(self):
            try:
                yield
            except Exception as error:
                seen.append(str(error))
                if not swallows:
                    raise

    def agent(state):
        raise ValueError("all of them")

    with observed(Installed("recording", lambda question: Swallowing())), pytest.raises(Exception, match="all of them"):
        run.invoke(kit.outer(best_of_n(agent, n=2)), ASKED)
    assert len(seen) == 1


def test_nested_questions_are_observed_everywhere_only(run):
    here, everywhere = [], []
    inner = best_of_n(kit.chat(kit.say(3, 9)), n=2)
    nested = best_of_n(kit.outer(inner), n=2)
    with ExitStack() as stack:
        stack.callback(observe_everywhere, "tracing", None)
        observe_everywhere("tracing", lambda question: everywhere.append(question.agent))
        stack.enter_context(observed(Installed("recording", lambda question: here.append(question.agent))))
        run.run(nested, ASKED)
    run.run(nested, ASKED)
    assert (len(here), len(everywhere)) == (1, 3)


def test_the_order_is_that_of_the_places(monkeypatch):
    monkeypatch.setattr(observing, "ALWAYS", {})
    made = []
    installed = [Installed(place, lambda question, place=place: made.append(place)) for place in PLACES[1:5]]
    for order in itertools.permutations(installed):
        with ExitStack() as stack:
            for each in order:
                stack.enter_context(observed(each))
            audience_of(OpenedQuestion("agent", "selector", {}))
        assert tuple(made) == PLACES[1:5]
        made.clear()


def test_makers_with_the_same_key_replace_each_other():
    made = []
    installed = [
        Installed("recording", lambda question, name=name: made.append(name), key=key)
        for name, key in (("a", 1), ("b", 2), ("c", 1))
    ]
    with observed(installed[0]), observed(installed[1]), observed(installed[2]):
        audience_of(OpenedQuestion("agent", "selector", {}))
    assert sorted(made) == ["b", "c"]


def test_a_handler_with_raise_error_raises(run):
    class Veto(BaseCallbackHandler):
        raise_error = True

        def on_custom_event(self, name, data, **kwargs):
            raise PermissionError(f"not rollout {data['winner']}")

    with pytest.raises(PermissionError, match="not rollout 0"):
        run.run(best_of_n(kit.chat(kit.say(3, 9)), n=2), ASKED, {"callbacks": [Veto()]})


def test_a_listener_gets_its_own_copy(run):
    told = []

    def rewriting(event):
        if event["type"] == "ec_agent.selection":
            told.append(dict(event["selection"]))
            event["selection"].clear()

    class Handler(BaseCallbackHandler):
        def on_custom_event(self, name, data, **kwargs):
            told.append(dict(data))
            data.clear()

    result = run.run(best_of_n(kit.chat(kit.say(9, 3)), n=2), ASKED, {"callbacks": [Handler()]}, on_event=rewriting)
    assert [each["winner"] for each in told] == [1, 1]
    assert result.selection.winner == 1


def test_a_selector_s_calls_are_told_of_no_rollout_and_make_events_of_their_own(run):
    judge = kit.say(5)

    class Judged(MajorityVote):
        def select(self, candidates):
            judge.invoke("which?")
            return super().select(candidates)

    class Calls(Observer):
        def call_started(self, rollout, call, asked):
            told.append((rollout and rollout.index, [message.text for message in asked["messages"]]))

        def call_ended(self, rollout, call, came, told_before):
            told.append((rollout and rollout.index, came.generations[0][0].message.text))

    told, events = [], []
    with observed(Installed("recording", lambda question: Calls())):
        result = run.run(best_of_n(kit.chat(kit.say(3)), n=1, selector=Judged()), ASKED, on_event=events.append)
    assert told == [(0, ["go"]), (0, "answer 0"), (None, ["which?"]), (None, "answer 0")]
    assert [event["index"] for event in events if event["type"] == "ec_agent.rollout.call"] == [0, 0]
    asked = [event for event in events if event["type"] == "ec_agent.selector.call"]
    assert [(event["state"], event.get("calls"), event["model"]) for event in asked] == [
        ("started", None, "scripted"),
        ("ended", 1, "scripted"),
    ]
    assert result.selection.candidates[0].calls == 1
