"""What was seen on real servers: kept in seen.json, and shown in docs/providers.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine_checks import REQUESTS, Result
from real_servers import ENGINES, NOT_HERE, Engine

KEPT = Path(__file__).with_name("seen.json")
HEADS = [f"{what}, {how}" for what in REQUESTS for how in ("whole", "streamed")]
INTRO = """\
## Seen on real servers

`make engines` installs these servers and gateways, starts each, and asks it for text, tool calls, a schema, a stop
sequence, two choices and, where the server can tell it apart, thinking, whole and streamed. The bytes of each answer
are kept. The entropies that are read of them (beneath the client, through its objects, with the transports, and with
ChatOpenAI) are the same to the bit, and those that separate code computes from the raw JSON, to nine decimals. Then
`best_of_n` runs an agent with the engine's own tools, and one with a `PromptedToolModel`, and each line of `ec-agent
doctor` is compared with the raw answers.

A cell says for how many tokens of one answer an entropy came. Where it is not all, the server did not send the others.
*No call*: the small model wrote text in place of a tool call.
"""


def note(engine: Engine, results: Sequence[Result], day: str) -> None:
    """Keep what was seen of an engine, in the place of what was seen of it before."""
    found = kept()
    found[engine.name] = {
        "version": engine.version,
        "seen": day,
        "results": [[each.check, each.said, each.wrong] for each in results],
    }
    KEPT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def kept() -> dict[str, Any]:
    """Engine -> what was seen of it."""
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}


def section() -> str:
    """The part of the page about real servers."""
    found = kept()
    heads = ["engine", "seen", *(head for what in REQUESTS for head in (what, "streamed")), "agents", "doctor"]
    lines = [INTRO, f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    notes = []
    for engine in ENGINES:
        if engine.name not in found:
            continue
        of = found[engine.name]
        said = {check: (words, wrong) for check, words, wrong in of["results"]}
        cells = [_cell(*said.get(head, ("", ""))) for head in HEADS]
        agents = [said[name] for name in said if name.startswith("best_of_n")]
        doctor = [said[name] for name in said if name.startswith("doctor")]
        cells += [_cell(_scored([words for words, _ in agents]), any(wrong for _, wrong in agents))]
        right = sum(not wrong for _, wrong in doctor)
        cells += [f"{right} of {len(doctor)} lines right"]
        lines.append(f"| {engine.name} {of['version']} | {of['seen']} | {' | '.join(cells)} |")
        if engine.note:
            notes.append(f"* **{engine.name}**: {engine.note}.")
    lines += ["", *notes, "", "Not run:", ""]
    if unseen := [f"{engine.name} {engine.version}" for engine in ENGINES if engine.name not in found]:
        lines.append(
            f"* **{', '.join(unseen)}**: `make engines` knows them; what it sees is not noted here yet.\n  "
            "llama-cpp-python has no wheel, and compiling it took over 50 minutes beside other work."
        )
    lines += [f"* **{name}**: {reason}." for name, reason in NOT_HERE.items()]
    return "\n".join(lines)


def _cell(said: str, wrong: object) -> str:
    if wrong:
        return "**wrong**"
    if said.startswith("refused"):
        return f"refused ({said.split()[1]})"
    if said.startswith("no answer"):
        return "no answer"
    for long, short in ((" tokens", ""), (", no tool call", ", no call"), (", a tool call", ", a call")):
        said = said.replace(long, short)
    return said


def _scored(said: Sequence[str]) -> str:
    return "; ".join(each.partition(", ")[2] or each for each in said)
