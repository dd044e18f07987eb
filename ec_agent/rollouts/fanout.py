"""The fan-out graph: runs the rollouts of a question as tasks, chooses a winner, and acts.

It is a LangGraph graph, so that a checkpointer saves each finished rollout, and drawings and traces show it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Annotated, Any, Literal, cast, get_origin, get_type_hints

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite, Send
from typing_extensions import TypedDict

from ec_agent.commits.gate import Done
from ec_agent.errors import SelectionError, SelectorError, StoppingError
from ec_agent.insides.executors import uninterrupted
from ec_agent.insides.langgraph import RUNTIME, edges_on_the_loop, outer_channels
from ec_agent.insides.run_around import check_drain
from ec_agent.insides.side_by_side import side_by_side
from ec_agent.numbers.call_fields import pack_calls
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.acting import act, needs_acting
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.asking_selectors import select
from ec_agent.rollouts.attempt import Start
from ec_agent.rollouts.certainty import with_probability
from ec_agent.rollouts.choosing import outputs_of
from ec_agent.rollouts.course import BEGINNING, Course, done_in
from ec_agent.rollouts.observer import Observer
from ec_agent.rollouts.pausing import ask
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import Record, merged, was_cancelled
from ec_agent.rollouts.rollout import rollout
from ec_agent.rollouts.waves import first_wave, next_wave, waves_in
from ec_agent.rollouts.writes import set_anew
from ec_agent.stopping import Stop
from ec_agent.support.plans import Plan, adrive, drive


class FanOutState(TypedDict):
    """The state of the fan-out graph, which the run's checkpointer saves.

    Attributes:
        records: the records of this round's rollouts.
        selection: the receipt of the choice among them; ``None`` before.
        last: the winner's latest record, if it went on after the choice.
        course: how far the question has come, and what it does next.
        written: the winners' writes of earlier rounds, one list per round.
        commits: the actions carried out.
        earlier: the receipts of earlier rounds.
        spent: threads with parked rollouts that are no longer needed.
        done: the calls carried out in steps that may run again.
        told: pairs of an interrupt's id and the answer that a person gave to it.
        asked: the LLM calls that selectors made, in packed form; checkpoints of earlier versions lack them.
    """

    records: Annotated[list[Record], merged]
    selection: dict[str, Any] | None
    last: Record | None
    course: Course
    written: list[list[list[Any]]]
    commits: list[dict[str, Any]]
    earlier: list[dict[str, Any]]
    spent: list[str]
    done: list[Done]
    told: Annotated[list[list[Any]], operator.add]
    asked: list[dict[str, Any]]


# Given anew for each run of the graph. If they were compiled in, an agent that contains this graph would seem to have
# breakpoints of its own.
BREAKPOINTS = {"interrupt_before": ["pause"]}

NEW: FanOutState = {
    "records": [],
    "selection": None,
    "last": None,
    "course": BEGINNING,
    "written": [],
    "commits": [],
    "earlier": [],
    "spent": [],
    "done": [],
    "told": [],
    "asked": [],
}


def from_its_start(state: FanOutState) -> FanOutState:
    """Return the state with which the round starts again. Actions of earlier rounds stay done."""
    return {**state, "records": [], "selection": None, "last": None}


class _Node(RunnableLambda[Any, Any]):
    """A node of the fan-out graph. For callback handlers it is a run of its own, inside the run that LangGraph makes.

    Where no handler hears it, its function alone is called: LangChain would look up the handlers, and the function's
    signature, at each call.

    Args:
        func: what it does.
        afunc: the same in an async run.
        name: its name.
        inside: a graph that drawings show in it.
    """

    def __init__(self, func: Any, afunc: Any, name: str, inside: Runnable[Any, Any] | None = None) -> None:
        super().__init__(func, afunc=afunc, name=name)
        self._plain, self._aplain, self._inside = func, afunc, inside

    @property
    def deps(self) -> list[Runnable[Any, Any]]:
        return [self._inside] if self._inside is not None else []

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        if config is None or _question(config).heard:
            return super().invoke(input, config, **kwargs)
        return self._plain(input, config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        if config is None or _question(config).heard:
            return await super().ainvoke(input, config, **kwargs)
        return await self._aplain(input, config)


def fan_out_graph(agent: Agent) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Build the fan-out graph: START -> n x rollout -> select -> act -> END. The run's context is a ``Question``.

    After ``act`` the winner may go on with another round. With ``stop=``, the rollouts come in waves: ``select`` sends
    back to them until the plan says that enough is known. Each interrupt of the winner is asked in a task of its own,
    so that people see all of them at once and may answer in any order.
    """
    # No context schema is declared: servers make JSON schemas of every subgraph, and a Question has none.
    builder = StateGraph(FanOutState)
    builder.add_node("rollout", _node(_rollout, "rollout", agent.drawn))
    builder.add_node("select", _node(_select, "select"))
    builder.add_node("act", _node(_act, "act"))
    asking: Any = RunnableLambda(_ask, name="ask")
    builder.add_node("ask", asking)
    builder.add_node("pause", RunnableLambda(_pause, name="pause"))
    builder.add_conditional_edges(START, _sends, ["rollout"])
    builder.add_edge("rollout", "select")
    builder.add_conditional_edges("select", _after_select, ["rollout", "act", END])
    builder.add_conditional_edges("act", _onward, ["rollout", "act", "ask", "pause", END])
    builder.add_edge("ask", "act")
    builder.add_conditional_edges("pause", _onward, ["rollout"])
    edges_on_the_loop(builder)
    return builder.compile(name="best_of_n")


def _node(
    plan: Callable[[Any, RunnableConfig], Plan[Any]], name: str, inside: Runnable[Any, Any] | None = None
) -> _Node:
    def node(state: Any, config: RunnableConfig) -> Any:
        return drive(plan(state, config))

    async def anode(state: Any, config: RunnableConfig) -> Any:
        return await adrive(plan(state, config))

    return _Node(node, anode, name, inside)


def _question(config: RunnableConfig) -> Question:
    question: Question = config["configurable"][RUNTIME].context  # every task has a runtime
    return question


def _rollout(start: Start, config: RunnableConfig) -> Plan[dict[str, Any]]:
    record = yield from rollout(_question(config), start, config)
    if start.get("answers") is None or start.get("all"):
        return {"records": [record]}
    if record["error"] is not None:  # the winner failed after going on with an answer, and no other rollout is left
        raise _question(config).errors[record["index"]]
    return {"last": record}


def _select(state: FanOutState, config: RunnableConfig) -> Plan[dict[str, Any]]:
    question = _question(config)
    question.executors.check()
    if state["selection"] is not None:
        return {}
    for record in state["records"]:
        if _ended(record):
            yield from question.reopen(record["index"], record["token"])
    if gone := _unfinished(question, state):
        question.check_sent(gone)
        if (watch := question.watch({"round": state["course"]["round"]})) is not None:
            watch.recall(state["records"])
            watch.forget(gone)
        return {}
    question.due, stop = _enough(question, state)
    if question.due:
        return {}
    try:
        selection, asked = yield from select(question, state["records"], stop)
    except SelectionError as error:
        if not isinstance(error, SelectorError):  # else the rollouts are good, and a resumed run chooses among them
            question.unchosen = state
        error.follow(state["commits"])
        raise
    selection = with_probability(selection, question, state["records"], state["course"]["round"])
    yield from question.told.telling(Observer.chosen, question.chosen(selection, state["records"], config))
    question.chose = selection.to_dict(), selection
    chosen: dict[str, Any] = {"selection": question.chose[0]}
    if asked:
        chosen["asked"] = [*(state.get("asked") or []), *pack_calls(Trajectory(asked))]
    return chosen


def _act(state: FanOutState, config: RunnableConfig) -> Plan[dict[str, Any]]:
    question = _question(config)
    question.executors.check()
    with uninterrupted():
        return (yield from act(question, state, config))


def _ask(interrupt: list[Any], config: RunnableConfig) -> dict[str, Any]:
    channels = outer_channels(config)  # this task's own state is only the interrupt, so read the graph's channels
    _waits(channels["selection"].get(), channels["records"].get(), config)
    return ask(interrupt)


def _waits(selection: dict[str, Any] | None, records: list[Record], config: RunnableConfig) -> None:
    """Tell observers the receipt again when a resumed run stops at its next question: nothing is chosen anew there."""
    question = _question(config)
    if selection is not None and question.told.hears(Observer.question_waits):
        question.told.tell(Observer.question_waits, question.chosen(question.receipt(selection), records, config))


def _pause(state: FanOutState, config: RunnableConfig) -> dict[str, Any]:
    _waits(state["selection"], state["records"], config)
    return {"course": {**state["course"], "next": state["course"]["after"]}}


def _ended(record: Record) -> bool:
    return record["error"] is None and not was_cancelled(record)


def _unfinished(question: Question, state: FanOutState) -> list[int]:
    """Return the ended rollouts whose environments are gone: they ran in an earlier process, and must run again."""
    if question.options.environment is None:
        return []
    ended = [record["index"] for record in state["records"] if _ended(record)]
    return [index for index in ended if index not in question.worlds]


def _enough(question: Question, state: FanOutState) -> tuple[Sequence[int], Stop | None]:
    """Return the rollouts of the next wave; if there are none, also the reason of the plan given as ``stop=``.

    Raises:
        StoppingError: the plan failed.
    """
    records = state["records"]
    try:
        due, stop = next_wave(question, records, state["course"]["round"])
    except Exception as error:
        hint = "With a checkpointer, graph.invoke(None, config) goes on with these rollouts once the plan is corrected"
        raise StoppingError(f"{error}. {hint}", question.candidates(records), outputs_of(records)) from error
    for record in records:  # the budget holds for further rollouts, and for a selector that asks a model
        if record["index"] not in question.ran:
            thread = question.thread(state["course"]["round"], record["index"])
            question.budget.recall(thread, record["usage"].get("generated_tokens", 0))
    if stop is not None and not question.options.cancel:  # with cancel=True it was reported as soon as it was known
        question.told.tell(Observer.enough_known, stop.reason, len(records))
    return due, stop


def straight(state: FanOutState, config: RunnableConfig) -> Plan[FanOutState]:
    """Take the steps of the fan-out graph without a graph, until people are to be asked or the question is over.

    ``ways`` says when that may be done. Only the graph itself can ask people; it goes on from the returned state.

    Args:
        state: the state with which the question begins.
        config: the config of the task in which it is asked, with the ``Question`` as the context of the run.
    """
    then: Any = _sends(state, config)
    while then != END and state["course"]["next"] not in FOR_PEOPLE:
        check_drain(config)
        if then == "act":
            state = _applied(state, [(yield from _act(state, config))])
            then = _onward(state, config)
            continue
        most = config["max_concurrency"] or len(then)
        state = _applied(state, (yield side_by_side([_rollout(each.arg, config) for each in then], most)))
        check_drain(config)
        state = _applied(state, [(yield from _select(state, config))])
        then = _after_select(state, config)
    return state


FOR_PEOPLE = ("ask", "pause")
_JOINED: dict[str, Callable[[Any, Any], Any]] = {
    key: hint.__metadata__[0]
    for key, hint in get_type_hints(FanOutState, include_extras=True).items()
    if get_origin(hint) is Annotated
}


def _applied(state: FanOutState, updates: Sequence[dict[str, Any]]) -> FanOutState:
    """Return the state with the updates of one step, as the graph applies them."""
    whole: dict[str, Any] = {**state}
    for update in updates:
        for key, value in update.items():
            joins = key in _JOINED and not isinstance(value, Overwrite)
            whole[key] = _JOINED[key](whole[key], value) if joins else getattr(value, "value", value)
    return cast("FanOutState", whole)


def _sends(state: FanOutState, config: RunnableConfig) -> list[Send]:
    if state["course"]["next"] == "pause":  # it came here straight
        return [Send("pause", state)]
    if state["course"]["next"] == "ask":
        return _asks(state)
    question = _question(config)
    question.watches.pop(state["course"]["round"], None)
    return _wave(question, state, first_wave(question), 0)


def _wave(question: Question, state: FanOutState, indices: Sequence[int], wave: int) -> list[Send]:
    if question.options.stop is not None:
        question.told.tell(Observer.wave_started, wave, state["course"]["round"], tuple(indices))
    return [_send(state, index, wave) for index in indices]


def _start(state: FanOutState, index: int) -> Start:
    course = state["course"]
    start: Start = {
        "index": index,
        "round": course["round"],
        "thread": course["thread"],
        "done": done_in(state),
        "anew": set_anew(chain(*state["written"])),
    }
    if "agent" in course:
        start["agent"] = course["agent"]
    return start


def _send(state: FanOutState, index: int, wave: int = 0) -> Send:
    course, start = state["course"], _start(state, index)
    if wave:
        start["wave"] = wave
    if course["next"] == "round" and course["answers"] is not None:
        start["answers"], start["all"] = course["answers"], True
    return Send("rollout", start)


def _after_select(state: FanOutState, config: RunnableConfig) -> list[Send] | Literal["act", "__end__"]:
    question = _question(config)
    if state["selection"] is None:
        waves = waves_in(state["records"])
        if gone := _unfinished(question, state):
            return [_send(state, index, waves[index]) for index in gone]
        return _wave(question, state, question.due, max(waves.values()) + 1)
    return "act" if needs_acting(question, state) else "__end__"


def _asks(state: FanOutState) -> list[Send]:
    return [Send("ask", each) for each in state["course"]["asking"] or []]


def _onward(state: FanOutState, config: RunnableConfig) -> list[Send] | Literal["act", "pause", "__end__"]:
    course = state["course"]
    if course["next"] == "round":
        return _sends(state, config)
    if course["next"] == "ask":
        return _asks(state)
    if course["next"] == "pause":
        return "pause"
    if course["next"] == "resume":
        assert state["selection"] is not None
        start = _start(state, state["selection"]["winner"])
        start["answers"] = course["answers"]
        return [Send("rollout", start)]
    return "act" if course["next"] == "act" else "__end__"
