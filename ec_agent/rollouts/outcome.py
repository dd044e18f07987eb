"""Read the outcome of a finished rollout: its writes, its final action, and whether and where it can go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langgraph.types import Interrupt

from ec_agent.errors import AgentError, CommitError, NoFinalActionError, RolloutInterruptedError, StateMismatchError
from ec_agent.insides.langgraph import BOX_OUT, ROOT, Channel
from ec_agent.rollouts.agents import Writes, commands, update_and_goto, update_of
from ec_agent.rollouts.attempt import Attempt
from ec_agent.rollouts.final_action import default_final_action
from ec_agent.rollouts.messages import (
    ai_messages,
    fingerprint,
    message_ids,
    messages_in,
    rebuilt,
    with_id,
    without_logprobs,
)
from ec_agent.rollouts.parking import nested_states
from ec_agent.rollouts.record import End
from ec_agent.rollouts.untracked_values import parted, untracked_keys, without
from ec_agent.rollouts.writes import open_writes, outer_writes

MESSAGES = "messages"


def outcome_of(attempt: Attempt) -> dict[str, Any]:
    """Return the outcome of a rollout, as the fields of its record.

    Raises:
        RolloutError: the rollout cannot be a candidate: it wrote nothing, or stopped where nobody can resume it.
        AgentError: its writes cannot be used.
    """
    question, options = attempt.question, attempt.question.options
    end = _end(attempt)
    tidied = _tidying(options.keep_logprobs)
    written, final, goto = _written(attempt, tidied)
    attempt.unheard.finish(_left(attempt, end))
    if end["kind"] == "answer":
        end = _open_call(attempt, written) or end
        if end.get("paused"):
            raise RolloutInterruptedError(
                "the rollout stopped at a breakpoint, not at a call that commits, and without a checkpointer nothing "
                "can go on from there; compile the outer graph with one, or take the breakpoint out"
            )
    begun = attempt.start.get("thread") is None
    if not written and not goto and end["kind"] == "answer" and begun:
        raise NoFinalActionError("the rollout ended without writing anything; have the agent return an update")
    outer, opened = _outer(attempt, tidied, written, final, end)
    # Untracked values may not be checkpointed, and the record will be: the question keeps them in memory instead.
    keys = untracked_keys(attempt.agent.channels, question.outer)
    question.fleeting[attempt.index] = parted(outer, keys)[1], goto
    (outer, _), (opened, _), (tracked, _) = parted(outer, keys), parted(opened, keys), parted(written, keys)
    if "thread" in end:
        end["open"] = [list(pair) for pair in opened]
    action = without(_final_action(attempt, end, final, written, tracked), keys)
    derived = options.final_action is None and default_final_action([*outer, *opened]) is action
    if end["kind"] == "commit" and not derived:
        end["message"] = _proposed(attempt) if attempt.gate.proposal is not None else default_final_action(written)
    if (talk := _talk(attempt, end, written)) is not None:
        end["talk"] = talk
    proposed = end.get("message") or action
    trajectory = attempt.recorder.trajectory()
    packed = question.packed(attempt.index, trajectory)
    said = [tracked, goto, end.get("interrupts"), proposed, [call.tokens for call in trajectory.calls]]
    unsaid = end["kind"] == "interrupt" and not end["interrupts"] and not written  # paused in the middle of a graph
    return {
        "calls": packed,
        "writes": [[key, value] for key, value in outer],
        "goto": [without(step, keys) for step in goto],
        "final_action": {"derived": True} if derived else {"value": action},
        "fingerprint": None if unsaid else _mark(said),
        "end": end,
    }


def _mark(said: Any) -> str | None:
    try:
        return fingerprint(said)
    except Exception:  # circular, too deep, or a ``repr`` that raises: then the rollout counts as unlike all others
        return None


def _outer(
    attempt: Attempt, tidied: Callable[[Any], Any], written: Writes, final: Any, end: End
) -> tuple[Writes, Writes]:
    """Return the writes for the outer state, and apart from them the writes that it repeats if it goes on.

    The second part are the writes of the step in which it stopped.
    """
    question, mapping = attempt.question, attempt.question.options.output
    if attempt.command is not None or (mapping is not None and final is not None):
        end["whole"] = True
        if attempt.command is None and mapping is not None:
            return _mapped(mapping(final), question.outer), []
        return written, []  # a command names the outer keys itself
    anew = attempt.start.get("anew") or []
    if "thread" not in end or attempt.agent.is_function:
        return outer_writes(attempt.agent, written, final, question.outer, anew), []
    done = len(written) - attempt.log.open
    outer = outer_writes(attempt.agent, written[:done], tidied(attempt.settled), question.outer, anew, ended=False)
    return outer, open_writes(attempt.agent, written[done:], question.outer)


def _tidying(keep_logprobs: bool) -> Callable[[Any], Any]:
    """Return a function that gives messages in a value the form for the record: with ids, as a rule without logprobs.

    The writes and the final state have most messages in common. Each of them is copied once.
    """
    made: dict[int, tuple[Any, Any]] = {}  # with the message, whose id() must not become that of another

    def tidy(message: Any) -> Any:
        if (known := made.get(id(message))) is None:
            known = made[id(message)] = message, with_id(message if keep_logprobs else without_logprobs(message))
        return known[1]

    return lambda value: rebuilt(value, tidy)


def _end(attempt: Attempt) -> End:
    question, proposal = attempt.question, attempt.gate.proposal
    carried = " committed" if attempt.winner_gate is not None else ""
    thread = question.thread(attempt.start["round"], f"{attempt.index}{carried}")
    open_still = attempt.winner_gate is not None and not attempt.winner_gate.complete
    # While a call is open and asks a person, a parallel branch that has stopped must wait: the question comes first.
    if proposal is not None and not (open_still and attempt.interrupts):
        # The step may be resumed only if it does not call the model again: the model might choose another action.
        again = (
            not attempt.agent.is_function
            and not attempt.log.caught
            and not attempt.recorder.call_list.asked_in(*_step(attempt, proposal.task))
        )
        end: End = {
            "kind": "commit",
            "commits": list(proposal.commits),
            "repeatable": again,
            "made_up": proposal.made_up,
        }
        if question.executes and again:
            end["thread"] = thread
        if question.options.continue_after_commit and question.executes and not again:
            raise CommitError(
                "the commit tool was called in the same step as the model, or code around it caught the exception that "
                "stops the rollout, so the rollout cannot go on after it; give the tools a node of their own, let "
                "middleware raise GraphBubbleUp again, or leave continue_after_commit out"
            )
        return end
    done = attempt.winner_gate is not None and attempt.winner_gate.complete
    if (interrupts := attempt.interrupts) or (not done and attempt.pauses):
        if attempt.winner_gate is not None and not interrupts:
            raise CommitError(_PAUSED_TOOL)
        if not interrupts and not question.parking.lasting:
            return {"kind": "answer", "paused": True}
        if question.options.environment is not None and attempt.winner_gate is None:
            raise RolloutInterruptedError(
                "the rollout stopped at an interrupt() or a breakpoint, and its environment cannot be kept open until "
                "it goes on; ask people in a node of the outer graph, after the selection"
            )
        asked: End = {"kind": "interrupt", "interrupts": interrupts}
        return {**asked, "thread": thread} if attempt.winner_gate is None else asked
    if attempt.winner_gate is not None and (attempt.log.interrupts or attempt.paused):
        rest: End = {"kind": "rest", "paused": attempt.paused}
        return {**rest, "thread": thread} if question.options.continue_after_commit else rest
    return {"kind": "answer"}


_PAUSED_TOOL = (
    "a tool that is being carried out stopped at a breakpoint (interrupt_before=, interrupt_after=) of a graph in it. "
    "After the pause it would act from its start again; take the breakpoint out, or have the graph ask by interrupt()"
)


def _step(attempt: Attempt, task: str) -> tuple[str, bool]:
    """Return the task that a resumed rollout runs again, and whether that includes the tasks of graphs inside it.

    A nested graph without checkpoints (``checkpointer=False``) starts from its beginning. Then it is the task around
    that graph which runs again.
    """
    parts = task.split("|")
    kept = attempt.saver.storage[attempt.thread] if attempt.saver is not None else {}
    for place in range(1, len(parts)):
        # A second graph of one node has a number in its namespace: node:id|1|...
        if not parts[place].isdigit() and "|".join(parts[:place]) not in kept:
            return "|".join(parts[:place]), True
    return task, False


def _open_call(attempt: Attempt, written: Writes) -> End | None:
    """Return the end of an agent that ended by itself with an open call that commits; ``None`` without such a call.

    So do agents that leave their tools to the outer graph, and those that return the message of a nested winner.
    """
    asked = getattr(default_final_action(written), "tool_calls", ())
    calls = [call for call in asked if attempt.gate.commits(call["name"])]
    if not calls:
        return None
    answered = {getattr(m, "tool_call_id", None) for _, value in written for m in messages_in(value)}
    commits = [str(call["id"]) for call in calls if call["id"] not in answered]
    return {"kind": "commit", "commits": commits, "repeatable": False} if commits else None


def _written(attempt: Attempt, tidied: Callable[[Any], Any]) -> tuple[Writes, Any, list[Any]]:
    """Return the agent's writes, its final state, and the nodes to go to next, all in the form for the record."""
    question = attempt.question
    agent = attempt.agent
    # A command to the parent graph replaces the agent's whole output, as everywhere in LangGraph.
    done = attempt.command is None
    raw, goto = agent.writes_of(attempt.log.writes()) if done else update_and_goto(attempt.command)
    final = attempt.final
    if done:
        if not agent.is_function:
            raw = attempt.said.identified(raw, question.known)
        raw = [*attempt.held.items(), *raw]
    if attempt.inner_graphs is not None and ROOT not in question.outer:
        raw = attempt.inner_graphs.mended(raw, question.outer)
    written = [(key, tidied(value)) for key, value in raw]
    if agent.is_function and final:
        output = final.get(BOX_OUT, {})
        final = update_of(written) if commands(output) or isinstance(output, dict) else output
    return written, tidied(final), tidied(goto)


def _talk(attempt: Attempt, end: End, written: Writes) -> list[Any] | None:
    """Return the new messages of the conversation in which the rollout stopped, with their state key."""
    talk = attempt.winner_gate.talk if attempt.winner_gate is not None else None
    proposal = attempt.gate.proposal
    if proposal is not None and not (proposal.made_up and attempt.question.executes and end.get("repeatable")):
        key, messages = proposal.talk or (MESSAGES, [])
        # The rollout may have stopped before the message was written to the state. The outer graph needs it.
        there = any(getattr(message, "id", None) == proposal.message.id for message in messages)
        talk = (key, messages if there else [*messages, proposal.message])
    if talk is None:
        return None
    known = set(message_ids([attempt.question.known, [value for _, value in written]]))
    new = [with_id(without_logprobs(message)) for message in talk[1] if message.id is None or message.id not in known]
    return [talk[0], new] if new else None


def _proposed(attempt: Attempt) -> Any:
    assert attempt.gate.proposal is not None
    return with_id(without_logprobs(attempt.gate.proposal.message))


def _final_action(attempt: Attempt, end: End, final: Any, written: Writes, tracked: Writes) -> Any:
    if attempt.question.options.final_action is not None:
        return attempt.question.options.final_action(final, written)
    if end["kind"] == "interrupt" and end["interrupts"]:
        questions = [Interrupt(value=value, id=asked) for asked, value, *_ in end["interrupts"]]
        return questions[0] if len(questions) == 1 else questions
    if end["kind"] != "commit" or attempt.gate.proposal is None:
        return default_final_action(tracked)
    message = _proposed(attempt)
    # Branches that run at once may number their calls alike, and one list may hold the messages of all of them.
    said = [m for _, value in written for m in ai_messages(value) if getattr(m, "tool_calls", []) == message.tool_calls]
    return next((m for m in reversed(said) if m.id == message.id), said[-1] if said else message)


def _left(attempt: Attempt, end: End) -> list[Any]:
    """Return where models' answers may be besides the writes: a command to the parent, and an unfinished step."""
    left: list[Any] = [attempt.command]
    if attempt.saver is not None and end["kind"] != "answer":
        left += nested_states(attempt.saver, attempt.thread)
    if attempt.winner_gate is not None:
        left.append(attempt.winner_gate.talk)
    if (proposal := attempt.gate.proposal) is not None:
        left += [proposal.talk, proposal.message]
    return left


def _mapped(update: Any, outer: Mapping[str, Channel]) -> Writes:
    if not isinstance(update, Mapping):
        raise AgentError(f"output= returned {type(update).__name__}; return a dict of outer state keys")
    strangers = [key for key in update if key not in outer and ROOT not in outer]
    if strangers:
        raise StateMismatchError(
            f"output= returned the keys {strangers}, which the outer state does not have; add them to its schema"
        )
    return list(update.items())
