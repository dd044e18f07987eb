"""The corpus: each stream read in all ways, and judged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from stream_answers import KINDS
from stream_law import Verdict, agreement, outside, restated, verdict, wrong
from stream_mutations import Stream, stream_of
from stream_readers import FORMS, SIGNALS, Readers, Told
from stream_styles import whole

from ec_agent.capture.shapes import call_of, payloads_of_response
from ec_agent.numbers.trajectory import Trajectory

SIZE = 10_000
LANGCHAIN_EVERY = 10


@dataclass
class Findings:
    """How streams came out.

    Attributes:
        outcomes: how many readings came out so.
        excused: readings of streams of which nobody can tell what was done to them, by the reason.
        wrong: what is against the law, in words.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{outcome}: {count} readings" for outcome, count in self.outcomes.most_common()]
        lines += [f"outside the law, {why}: {count} readings" for why, count in self.excused.most_common()]
        return "\n".join([*self.wrong, *lines, f"{len(self.wrong)} against the law"])


def judged(readers: Readers, seeds: Iterable[int], *, all_ways: bool = True) -> Findings:
    """Read and judge the streams of these numbers.

    Args:
        readers: the ways to read.
        seeds: the numbers.
        all_ways: read each in all live ways; else in two, by turns.
    """
    findings = Findings()
    for seed in seeds:
        stream = stream_of(seed)
        for way, found in _verdicts(readers, seed, stream, all_ways):
            excuse = outside(stream)
            if found.outcome == "wrong" and excuse is not None and "not ours" not in found.why:
                findings.excused[excuse] += 1
                continue
            findings.outcomes[found.outcome] += 1
            if found.outcome == "wrong":
                findings.wrong.append(f"{seed} {way}: {found.why}: {stream.name()}")
    return findings


def _verdicts(readers: Readers, seed: int, stream: Stream, all_ways: bool) -> Iterator[tuple[str, Verdict]]:
    turn = seed // len(KINDS)
    answers = wholes(stream)
    yield from ((f"whole {place}", restated(stream, told, place)) for place, told in enumerate(answers))
    langchain = turn % LANGCHAIN_EVERY == 0
    live = readers.live(stream, random.Random(seed), turn=None if all_ways else turn, langchain=langchain)
    for way, told in live.items():
        yield way, verdict(told, answers[0], stream)
    if live:
        yield "all live ways", agreement(live)
    saved = readers.saved(stream, FORMS[turn % len(FORMS)])
    if len(saved) != len(answers) and stream.untouched():
        yield "saved", wrong(f"{len(saved)} rollouts")
    # Only those who hear the end mark know of some that they came whole: a log of the parts does not have it.
    logged = stream if stream.told_whole() else replace(stream, cut=True)
    for place, (told, answer) in enumerate(zip(saved, answers, strict=False)):
        yield f"saved {place}", verdict(told, answer, logged)


def wholes(stream: Stream) -> list[Told]:
    """The unstreamed answer, each alternative."""
    payloads = payloads_of_response(whole(stream.said))
    return [Told.of(Trajectory([call_of(payload, SIGNALS)])) for payload in payloads]
