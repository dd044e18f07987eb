"""Act after the choice: carry out the winner's calls, ask people its questions, and promote its environment."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt, ParentCommand
from langgraph.types import Command, Overwrite

from ec_agent.commits.durability import written_down
from ec_agent.commits.gate import Done, RolloutGate, current_gate, gated
from ec_agent.commits.winner_gate import CONFUSABLE, CommitGate, Planned, begin_calls
from ec_agent.environments.worlds import in_environment
from ec_agent.errors import AgentError, CommitError, CommitWarning
from ec_agent.rollouts.agents import Agent, update_and_goto
from ec_agent.rollouts.attempt import Attempt, Start
from ec_agent.rollouts.choosing import final_action_of
from ec_agent.rollouts.course import (
    BEGINNING,
    UNTOLD,
    Course,
    agent_in,
    done_in,
    last_of,
    parked_in,
    told_in,
    written_up_to,
)
from ec_agent.rollouts.memory import remembered
from ec_agent.rollouts.messages import messages_in, with_id
from ec_agent.rollouts.observer import Observer
from ec_agent.rollouts.outcome import MESSAGES
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import Record, asked_a_model
from ec_agent.rollouts.record_of_attempt import record_of
from ec_agent.rollouts.running import run
from ec_agent.rollouts.store_overlay import put_ops
from ec_agent.rollouts.writes import joined, set_anew
from ec_agent.support.plans import Plan, Step, call, hook


def needs_acting(question: Question, state: Mapping[str, Any]) -> bool:
    """Whether anything has to be done after the choice: an action, a question to people, store writes, a promotion."""
    last = last_of(state)
    acts = last["end"]["kind"] == "interrupt" or (last["end"]["kind"] == "commit" and question.executes)
    return acts or bool(last["store"]) or (question.options.promote is not None and not question.within)


def act(question: Question, state: Mapping[str, Any], config: RunnableConfig) -> Plan[dict[str, Any]]:
    """Do the next step after the choice, and return the update of the fan-out graph's state.

    Raises:
        CommitError: an action cannot be carried out.
    """
    last, course = last_of(state), state["course"]
    losers = [record["end"].get("thread") for record in state["records"] if record["index"] != last["index"]]
    if any(losers) or state["spent"]:
        yield from written_down(config)  # a run resumed from an earlier checkpoint would still need them
        yield from question.parking.clear([*filter(None, losers), *state["spent"]])
    if last["end"]["kind"] == "interrupt":
        if len(question.agents.all) > 1 and not _chosen(state) and "agent" not in course:
            raise AgentError(_ASKS_FIRST)
        if course["next"] == "ask":
            return {**_from_stop(state, told_in(state)), **UNTOLD}
        yield from _remember(question, last)
        if not last["end"]["interrupts"]:
            return _paused(_from_stop(state, {}))
        return {"course": {**course, "next": "ask", "asking": last["end"]["interrupts"]}}
    calls: dict[str, Planned] = {}
    if last["end"]["kind"] == "commit" and question.executes:
        yield from question.stand(config)
        calls = yield from _entered(question, last, state)
    if not (yield from _world_is_there(question, last, course["round"])):
        question.check_sent([last["index"]])
        # The round starts anew. Questions and answers belonged to the old rollouts, so they are dropped.
        anew = {**course, "next": "round", "answers": None, "asking": None, "earlier": []}
        return {"course": anew, "last": None, "selection": None, "records": Overwrite([]), **UNTOLD}
    if course["asking"]:  # the questions are saved before people see them, so that each answer finds its question
        if course["next"] != "ask":  # only in a checkpoint of an earlier version
            return {"course": {**course, "next": "ask"}}
        earlier = [*course.get("earlier", []), *filter(None, [course["answers"]])]
        told = {"answers": told_in(state), "earlier": earlier, "asking": None}
        return {"course": {**course, "next": "act", **told}, **UNTOLD}
    carried: Record | None = None
    commits: list[dict[str, Any]] = []
    if last["end"]["kind"] == "commit" and question.executes:
        carried = yield from _commit(question, state, calls, config)
        if carried["end"]["kind"] == "interrupt":
            return {"course": {**course, "next": "ask", "asking": carried["end"]["interrupts"]}}
        commits = _committed(carried, calls)
    for record in (last, *([carried] if carried is not None else [])):
        yield from _remember(question, record)
    yield from _promote(question, last["index"], course["round"], config)
    return (yield from _onward(question, state, carried, commits))


def _commit(
    question: Question, state: Mapping[str, Any], calls: dict[str, Planned], config: RunnableConfig
) -> Plan[Record]:
    """Carry the winner's calls out, and return the record of that.

    Raises:
        CommitError: an action cannot be carried out, or its tool asks a person and the rollout cannot wait.
    """
    last, course = last_of(state), state["course"]
    start: Start = {"index": last["index"], "round": course["round"], "done": done_in(state)}
    if "agent" in course:
        start["agent"] = course["agent"]
    start["anew"] = set_anew(chain(*written_up_to(state)))
    if course["answers"] is not None:
        start["answers"], start["earlier"] = course["answers"], course.get("earlier", [])
    try:
        carried = yield from _carried_out(question, last, calls, start, config)
    except CommitError as error:
        raise _after(error, done_in(state)) from error.__cause__
    if carried["end"]["kind"] == "interrupt" and not question.can_wait(last["index"]):
        raise _after(CommitError(_CANNOT_WAIT), carried["end"].get("done", []))
    return carried


def _committed(carried: Record, calls: Mapping[str, Planned]) -> list[dict[str, Any]]:
    """Return the actions that were done, as receipts have them."""
    undone = {each["id"] for each in carried["end"].get("done", []) if each["key"] is None}
    done = [each for call_id, each in calls.items() if each.commits and call_id not in undone]
    return [{"tool": each.name, "args": dict(each.args), "key": each.key} for each in done]


def _next(state: Mapping[str, Any], round: int, what: str, thread: str | None, answers: Any = None) -> dict[str, Any]:
    now: Course = {"round": round, "next": what, "thread": thread, "answers": answers, "asking": None}
    course: Course = {**now, **agent_in(state["course"])}
    spent = sorted(parked_in(state) - {thread})
    return {"course": course, "written": written_up_to(state), "last": None, "spent": spent}


def _from_stop(state: Mapping[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """Return the update with which the question goes on from the winner's breakpoint or answered interrupt.

    The winner alone goes on. If no model was called yet, there was nothing to choose by, so all n rollouts go on.
    """
    course, thread = state["course"], last_of(state)["end"]["thread"]
    if _chosen(state):
        return _next(state, course["round"], "resume", thread, answers)
    update = _again(state, thread, sorted(parked_in(state) - {thread}))
    return {**update, "course": {**update["course"], "answers": answers or None}}


def _chosen(state: Mapping[str, Any]) -> bool:
    """Whether there was something to choose by: a model was called, or the winner has gone on."""
    return state["last"] is not None or any(asked_a_model(record) for record in state["records"])


def _paused(update: dict[str, Any]) -> dict[str, Any]:
    """Return the update with a pause before the next step."""
    course = update["course"]
    return {**update, "course": {**course, "next": "pause", "after": course["next"]}}


def _again(state: Mapping[str, Any], thread: str | None, spent: Sequence[str]) -> dict[str, Any]:
    """Return the update that starts another round of n rollouts, from where the winner has stopped."""
    agent = state["course"].get("agent", last_of(state)["index"])
    course: Course = {**BEGINNING, "round": state["course"]["round"] + 1, "thread": thread, "agent": agent}
    return {
        "course": course,
        "written": written_up_to(state),
        "last": None,
        "earlier": [*state["earlier"], state["selection"]],
        "selection": None,
        "records": Overwrite([]),
        "spent": spent,
    }


def _onward(
    question: Question, state: Mapping[str, Any], carried: Record | None, commits: Sequence[Mapping[str, Any]]
) -> Plan[dict[str, Any]]:
    options, done = question.options, state["course"]["round"] + 1
    committed = [*state["commits"], *commits]
    made = [*done_in(state), *(carried["end"].get("done", []) if carried is not None else [])]
    goes_on = carried is not None and carried["end"]["kind"] in ("rest", "commit") and options.continue_after_commit
    if carried is not None and carried["end"]["kind"] == "rest" and question.budget.gone:
        ended = f"token_budget={options.limits.token_budget} was spent"
    else:
        ended = f"max_rounds={options.max_rounds} commits" if done >= options.max_rounds else ""
    if carried is None or not goes_on or ended:
        if goes_on:
            warnings.warn(
                f"the rollout was ended after {ended}; allow more if it should go on", CommitWarning, stacklevel=2
            )
        update = {"course": {**state["course"], "next": "end"}, "commits": committed}
        if carried is not None:
            update |= {"written": written_up_to(state), "last": carried}
            update |= {"spent": sorted(parked_in(state))}
        return update
    spent = sorted(parked_in(state) - {carried["end"].get("thread")})
    written = written_up_to(state)
    if carried["end"]["kind"] == "commit":
        now: Course = {"round": done, "next": "act", "thread": None, "answers": None, "asking": None}
        course: Course = {**now, **agent_in(state["course"])}
        update = {"course": course, "written": written, "last": carried}
        return {**update, "commits": committed, "spent": spent, "done": made}
    yield from question.close()  # the next round needs new environments, made from the promoted one
    update = _again(state, carried["end"]["thread"], spent)
    update |= {"written": [*written, carried["writes"]], "commits": committed, "done": made}
    return _paused(update) if carried["end"].get("paused") else update


def _entered(question: Question, record: Record, state: Mapping[str, Any]) -> Plan[dict[str, Planned]]:
    number = state["course"]["round"]
    try:
        return (yield from begin_calls(question.once, str(number), _planned(question, record, number)))
    except CommitError as error:
        raise _after(error, done_in(state)) from error.__cause__


def _planned(question: Question, record: Record, round: int) -> dict[str, Planned]:
    message = _message(record)
    commits = record["end"]["commits"]
    planned: dict[str, Planned] = {}
    if len({each["id"] for each in message.tool_calls}) < len(message.tool_calls):
        raise CommitError(
            f"two calls of one message have the same id: {message.tool_calls}; nothing was carried out. Have the model "
            "or its server give each tool call an id of its own"
        )
    for place, each in enumerate(message.tool_calls):
        key = question.key(round, place)
        made_up = record["end"].get("made_up", False)
        planned[str(each["id"])] = Planned(each["name"], each["args"], key, str(each["id"]) in commits, made_up)
    return planned


def _message(record: Record) -> AIMessage:
    message = record["end"].get("message") or final_action_of(record)
    assert isinstance(message, AIMessage)
    return message


def _carried_out(
    question: Question, record: Record, calls: dict[str, Planned], start: Start, config: RunnableConfig
) -> Plan[Record]:
    """Carry out the calls of the winner's message, and return the record of that."""
    for planned in calls.values():
        if planned.commits:
            question.told.tell(Observer.commit_started, planned.name, planned.key)
    agent = question.agents.all[question.agents.place_of(start.get("agent", record["index"]))]
    if not record["end"]["repeatable"]:
        return (yield from _called(question, agent, record, calls, config))
    fleeting = question.fleeting.get(record["index"])
    attempt = Attempt(question, {**start, "thread": record["end"]["thread"]}, config, calls)
    yield from run(attempt)
    assert attempt.winner_gate is not None
    yield from attempt.winner_gate.wait_until_idle()
    done = yield from record_of(attempt)
    if done["error"] is not None:
        raise _after(question.errors[record["index"]], attempt.winner_gate.done())
    if done["end"]["kind"] == "interrupt" and attempt.winner_gate.several_open:
        raise CommitError(CONFUSABLE)
    if done["end"]["kind"] != "interrupt" and not attempt.winner_gate.complete:
        if question.options.continue_after_commit:
            raise CommitError(_ELSEWHERE)
        if fleeting is not None:
            question.fleeting[record["index"]] = fleeting
        return (yield from _called(question, agent, record, calls, config))
    return {**done, "end": {**done["end"], "carried": True, "done": attempt.winner_gate.done()}}


def _after(error: Exception, done: Sequence[Done]) -> Exception:
    """Return the error with a note about the actions that were carried out before it."""
    said = ", ".join(f"{each['name']}({each['args']})" for each in done if each["key"] is not None)
    if said:
        error.add_note(f"before that, this was carried out and stays done: {said}")
    return error


_ASKS_FIRST = (
    "the agents ask a person before any model was called, and all rollouts go on with the answer from where one of "
    "them stopped, so all would run the same agent; ask in a node of the outer graph, before best_of_n"
)
_CANNOT_WAIT = (
    "a tool that is to be carried out asks by interrupt(), but its environment cannot stay open until the answer "
    "comes, so the tool did nothing: give environment= a factory with reopen(token), as SQLiteCopies has, or ask "
    "before best_of_n or after it"
)
_ELSEWHERE = (
    "the agent's step was run again to carry out the chosen tool calls, but it did not make all of them, so the "
    "rollout cannot go on from there; make sure that the step does the same each time it runs and does not catch "
    "GraphBubbleUp; or leave continue_after_commit out"
)


def _called(
    question: Question, agent: Agent, record: Record, calls: Mapping[str, Planned], config: RunnableConfig
) -> Plan[Record]:
    """Call the winner's tools one by one, for a rollout whose own step cannot be run again."""
    gate = CommitGate(calls, question.once, RolloutGate(question.policy, (), current_gate.get()))
    results: list[Any] = []
    for call_id, planned in calls.items():
        known = (agent.tools if len(question.agents.all) > 1 else {}, question.policy.tools, question.seen)
        tool = next(filter(None, (tools.get(planned.name) for tools in known)), None)
        if tool is None:
            raise CommitError(
                f"the tool {planned.name!r} is in no ToolNode, so it cannot be called from here; give the tool itself "
                "in commit=[...], not only its name"
            )
        asked = {"name": planned.name, "args": dict(planned.args), "id": call_id, "type": "tool_call"}
        with gated(gate), in_environment(question.environment(record["index"])):
            try:
                results.append((yield call(tool, "invoke", asked, config)))
            except ParentCommand as stop:
                results.append(stop.args[0])
            except GraphInterrupt:
                if len(calls) > 1:
                    raise CommitError(CONFUSABLE) from None
                raise
    orders = [result for result in results if isinstance(result, Command)]
    told = [pair for order in orders for pair in update_and_goto(order)[0]]
    # A command may only lead to nodes of the outer graph: the agent itself does not go on.
    goto = [step for order in orders if order.graph is not None for step in update_and_goto(order)[1]]
    if goto:
        question.fleeting[record["index"]] = question.fleeting.get(record["index"], ([], []))[0], goto
    key, before = record["end"].get("talk") or [MESSAGES, []]
    said = [result for result in results if isinstance(result, ToolMessage)]
    said += [with_id(message) for name, value in told if name == key for message in messages_in(value)]
    told = [(name, value) for name, value in told if name in question.outer and name != key]
    return {
        **record,
        # The agent's step does not run again, so writes of other tasks in that step are added here.
        "writes": [list(pair) for pair in joined([record["end"].get("open", []), told], question.outer)],
        "goto": goto or record["goto"],
        "end": {**remembered(record["end"]), "kind": "answer", "carried": True, "talk": [key, [*before, *said]]},
        "store": [],
    }


def _world_is_there(question: Question, record: Record, round: int) -> Plan[bool]:
    """Whether the winner's environment is open, or was promoted already. If neither, the round has to run again."""
    if (yield from question.reopen(record["index"], record["token"])):
        return True
    if question.options.promote is None:
        return False
    entries = yield call(question.once.journal, "read", question.key(round, "promotion"))
    return bool(entries and (entries[-1].outcome or {}).get("status") == "done")


def _remember(question: Question, record: Record) -> Plan[None]:
    """Write what the winner put into its store into the real store."""
    if question.outer_store is not None:
        for op in put_ops(record["store"]):  # one by one: a store with an index refuses equal texts in one batch
            yield call(question.outer_store, "batch", [op])


def _promote(question: Question, index: int, round: int, config: RunnableConfig) -> Plan[None]:
    promote = question.options.promote
    if promote is None or question.within:  # inside a rollout that may lose, nothing may become real
        return
    environment = question.environment(index)
    once: Step = hook(promote, environment)
    yield from question.stand(config)
    proposed = question.key(round, "promotion")
    (key,) = yield from question.once.enter(f"{round}/promotion", [("promote", round)], [proposed])
    yield from question.once.plan(key, "promote", round, _without_result(once))


def _without_result(step: Step) -> Step:
    """Return the step without its result: it is not needed, and the journal might not be able to store it."""

    def sync() -> None:
        step.sync()

    async def wait() -> None:
        await step.wait()

    return Step(sync, wait)
