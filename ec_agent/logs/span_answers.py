"""Finds the logprobs of an LLM span in the spans around it.

langfuse and Traceloop write only the text of an answer into the span of a LangChain model. The message itself, with its
logprobs, is in what the node and the graph around it return, so in several spans of the trace. It counts once, and in
the place of the call that made it: that whose answer has the same text and the same tool calls.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ec_agent.capture.shapes import call_of, get, listed, words_of
from ec_agent.logs.bounds import Bounds
from ec_agent.logs.nested import answers_within
from ec_agent.logs.span_forms import Span
from ec_agent.logs.spool import Spool
from ec_agent.numbers.signals import ENTROPY, SURPRISAL

_ASIDE = "\0answer "  # names what is in the spool, but no call of a rollout yet
_WORDS, _HELD = "words ", "held "


class _Bare(NamedTuple):
    """An LLM span without logprobs.

    Attributes:
        place: its place in its rollout.
        end: when it ended.
        words: what its answer says, as JSON.
    """

    place: str
    end: str
    words: str


class _Aside(NamedTuple):
    """An answer that was found in other spans.

    Attributes:
        end: when the first of these spans ended.
        number: its number among the answers in that span, as text that sorts.
        name: its name in the spool.
        words: what it says, as JSON.
    """

    end: str
    number: str
    name: str
    words: str


def said_in(output: Any) -> str:
    """Return what the answer in the output of an LLM span says: its text and the ids of its tool calls, as JSON."""
    if isinstance(output, str):
        output = {"content": output}
    if isinstance(output, list):
        output = next((each for each in output if isinstance(each, Mapping)), {})
    if parts := listed(get(output, "parts")):  # gen_ai.output.messages
        texts = [get(part, "content") for part in parts if get(part, "type") == "text"]
        calls = [part for part in parts if get(part, "type") == "tool_call"]
        output = {"content": "".join(text for text in texts if isinstance(text, str)), "tool_calls": calls}
    return json.dumps(sorted(words_of([output])))


def note_bare(span: Span, place: str, output: Any, spool: Spool) -> None:
    """Keep what is needed to find the logprobs of an LLM span that has none."""
    spool.note(span.trace, f"{_WORDS}{place}", json.dumps([span.end, said_in(output)]))


def keep_answers(span: Span, output: Any, spool: Spool, bounds: Bounds) -> None:
    """Keep the answers with logprobs in the output of a span that is no LLM span, each once.

    Raises:
        EcAgentError or one of ``ODD``: an answer cannot be read.
    """
    for number, nested in enumerate(answers_within({"output": output}, bounds)):
        if not nested.payloads[0].entries:
            continue
        answer = nested.answer
        name = f"{_ASIDE}{answer.digest} {answer.message or answer.response} {span.trace}"
        if spool.noted(name, _WORDS) is None:
            spool.note(name, _WORDS, said_in(nested.thing))
            spool.add(name, "", call_of(nested.payloads[0], (ENTROPY, SURPRISAL)))
        spool.note(name, f"{_HELD}{span.end} {number:09} {span.id}", "")


@dataclass(slots=True)
class _Trace:
    bare: list[_Bare]
    aside: list[_Aside]
    calls: int = 0


def give_answers(spool: Spool) -> None:
    """Put the answers that were kept in the place of the LLM spans that made them.

    A trace without any LLM span has the answers themselves as its calls. Answers of earlier runs, which a state may
    hold, have no LLM span in the trace, and are left out.
    """
    traces: defaultdict[str, _Trace] = defaultdict(lambda: _Trace([], []))
    for rollout, place in spool.places():
        if (words := spool.noted(rollout, _WORDS)) is not None:
            *_, trace = rollout.removeprefix(_ASIDE).split(" ", 2)
            held = min(kind for kind, _ in spool.notes(rollout, _HELD)).removeprefix(_HELD).split(" ")
            traces[trace].aside.append(_Aside(held[0], held[1], rollout, words))
        else:
            traces[rollout].calls += 1
            if (noted := spool.noted(rollout, f"{_WORDS}{place}")) is not None:
                traces[rollout].bare.append(_Bare(place, *json.loads(noted)))
    for name, each in traces.items():
        _give(name, each, spool)


def _give(name: str, trace: _Trace, spool: Spool) -> None:
    left = sorted(trace.bare)
    for aside in sorted(trace.aside):
        made = next((each for each in left if each.words == aside.words and each.end <= aside.end), None)
        if made is not None:
            left.remove(made)
            spool.drop(name, made.place)
            spool.rename(aside.name, name, made.place)
        elif not trace.calls:
            spool.rename(aside.name, name, f"{aside.end} {aside.number}")
        else:
            spool.drop(aside.name, "")
