"""What a rollout that ran to its end came to: its writes, its final action, where it may go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langgraph.types import Interrupt

from ec_agent.capture.shapes import call_of, payload_of_message
from ec_agent.errors import AgentError, CommitError, NoFinalActionError, RolloutInterruptedError, StateMismatchError
from ec_agent.rollouts.agents import Writes, commands, update_and_goto, update_of
from ec_agent.rollouts.final_action import default_final_action
from ec_agent.rollouts.internals import BOX_OUT, ROOT, Channel
from ec_agent.rollouts.messages import ai_messages, fingerprint, rebuilt, with_id, without_logprobs
from ec_agent.rollouts.record import End
from ec_agent.rollouts.writes import outer_writes

if TYPE_CHECKING:
    from ec_agent.rollouts.rollout import Attempt

MESSAGES = "messages"


def outcome_of(attempt: Attempt) -> dict[str, Any]:
    """The parts of its record that say so.

    Raises:
        RolloutError: it cannot be a candidate.
        AgentError: what it wrote cannot be used.
    """
    session, options = attempt.session, attempt.session.options
    end = _end(attempt)
    written, final, goto = _written(attempt, end)
    if not written and not goto and end["kind"] == "answer":
        raise NoFinalActionError("the rollout ended without writing anything; have the agent return an update")
    if attempt.command is not None:  # it names the outer keys itself
        outer = written
    elif options.output is not None and final is not None:
        outer = _mapped(options.output(final), session.outer)
    else:
        outer = outer_writes(session.agent, written, final, session.outer)
    action = _final_action(attempt, end, final, written)
    derived = options.final_action is None and default_final_action(outer) is action
    if end["kind"] == "commit" and not derived:
        end["message"] = _proposed(attempt)
    said = [written, goto, end.get("interrupts"), [call.tokens for call in attempt.recorder.trajectory().calls]]
    return {
        "writes": [[key, value] for key, value in outer],
        "goto": goto,
        "final_action": {"derived": True} if derived else {"value": action},
        "fingerprint": fingerprint(said),
        "end": end,
    }


def _end(attempt: Attempt) -> End:
    session, proposal = attempt.session, attempt.gate.proposal
    carried = " committed" if attempt.committing is not None else ""
    thread = session.thread(attempt.start["round"], f"{attempt.index}{carried}")
    if proposal is not None:
        # Taken up again, the step must not ask the model again: that would be another action.
        again = not session.agent.is_function and not attempt.log.over and not attempt.recorder.asked_in(proposal.task)
        end: End = {"kind": "commit", "commits": list(proposal.commits), "again": again}
        if session.executes and again:
            end["thread"] = thread
        if session.options.continue_after_commit and session.executes and not again:
            raise CommitError(
                "the commit tool was called in the very step that asked the model, so the rollout cannot go on after "
                "it; give the tools a node of their own, or leave continue_after_commit out"
            )
        return end
    if interrupts := attempt.interrupts:
        if session.options.environment is not None:
            raise RolloutInterruptedError(
                "the rollout stopped at an interrupt(), and its environment cannot be kept until somebody answers; "
                "ask people in a node of the outer graph, after the selection"
            )
        return {"kind": "interrupt", "interrupts": interrupts, "thread": thread}
    if attempt.committing is not None and attempt.log.interrupts:
        return {"kind": "rest", "thread": thread} if session.options.continue_after_commit else {"kind": "rest"}
    return {"kind": "answer"}


def _written(attempt: Attempt, end: End) -> tuple[Writes, Any, list[Any]]:
    """What the agent wrote, the state it ended in, and where it wants to go next: bare, with ids."""
    session = attempt.session
    agent, keep = session.agent, session.options.keep_logprobs

    def tidy(message: Any) -> Any:
        return with_id(message if keep else without_logprobs(message))

    # As everywhere in LangGraph, a command to the parent stands for the whole of the agent's output.
    done = attempt.command is None
    raw, goto = agent.writes_of(attempt.log.writes()) if done else update_and_goto(attempt.command)
    if not attempt.recorder.started_calls():
        # An agent that runs elsewhere is heard only through the messages it sends back.
        attempt.recorder.adopt(_calls_in(raw, session.options.selector.signals))
    if end["kind"] == "commit" and not (session.executes and end["again"]):
        raw = _with_proposal(attempt, raw)
    written = [(key, rebuilt(value, tidy)) for key, value in raw]
    final = attempt.final
    if agent.is_function and final:
        output = final.get(BOX_OUT, {})
        final = update_of(written) if commands(output) or isinstance(output, dict) else output
    return written, rebuilt(final, tidy), rebuilt(goto, tidy)


def _with_proposal(attempt: Attempt, raw: Writes) -> Writes:
    """A message that was about to be acted on before it was written belongs to what is routed onward."""
    message = _proposed(attempt)
    ids = {call["id"] for call in message.tool_calls}
    known = (m for _, value in raw for m in ai_messages(value))
    if any(ids & {call["id"] for call in getattr(m, "tool_calls", [])} for m in known):
        return raw
    agent = attempt.session.agent
    knows = MESSAGES in (attempt.session.outer if agent.is_function else agent.state_keys)
    return [*raw, (MESSAGES, [message])] if knows else raw


def _proposed(attempt: Attempt) -> Any:
    assert attempt.gate.proposal is not None
    return with_id(without_logprobs(attempt.gate.proposal.message))


def _final_action(attempt: Attempt, end: End, final: Any, written: Writes) -> Any:
    if attempt.session.options.final_action is not None:
        return attempt.session.options.final_action(final, written)
    if end["kind"] == "interrupt":
        questions = [Interrupt(value=value, id=asked) for asked, value in end["interrupts"]]
        return questions[0] if len(questions) == 1 else questions
    if end["kind"] != "commit":
        return default_final_action(written)
    message = _proposed(attempt)
    ids = [call["id"] for call in message.tool_calls]
    said = [m for _, value in written for m in ai_messages(value)]
    same = (m for m in reversed(said) if ids == [call["id"] for call in getattr(m, "tool_calls", [])])
    return next(same, message)


def _calls_in(written: Writes, signals: Any) -> list[Any]:
    payloads = [payload_of_message(message) for _, value in written for message in ai_messages(value)]
    return [call_of(payload, tuple(dict.fromkeys(("entropy", *signals)))) for payload in payloads]


def _mapped(update: Any, outer: Mapping[str, Channel]) -> Writes:
    if not isinstance(update, Mapping):
        raise AgentError(f"output= returned {type(update).__name__}; return a dict of outer state keys")
    strangers = [key for key in update if key not in outer and ROOT not in outer]
    if strangers:
        raise StateMismatchError(
            f"output= returned the keys {strangers}, which the outer state does not have; add them to its schema"
        )
    return list(update.items())
