"""The sentences of a picture: who won and why, where a rollout hesitated, what is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ec_agent.numbers.signals import ENTROPY
from ec_agent.numbers.trajectory import Call
from ec_agent.rollouts.final_action import in_one_line
from ec_agent.selectors.lowest_centroid import LowestCentroid
from ec_agent.stopping.asking import PASSED_OVER
from ec_agent.support.escaping import clipped, shown
from ec_agent.support.number_formats import many, number, percent
from ec_agent.visual.views import Hesitation, Rollout, View

_BEFORE, _WITHIN = 40, 90  # letters quoted of what leads to a hesitation, and of itself
RIGHT = 0.5  # a verdict from here on counts as right
_START = 600  # letters of a call without scripts
_PAID = {
    "prompt_tokens": "prompt",
    "cached_tokens": "cached",
    "generated_tokens": "generated",
    "cached_answer_tokens": "of answers from an LLM cache, which cost nothing",
}
_REASONS = {
    "coverage": "too few of its tokens came with logprobs",
    "no model": "no model was called in it",
    "no_phases": "it has no phase of high entropy",
    "no_signal": "none of its tokens came with what the selector reads",
    "no_verdict": "the model that was asked gave no answer about it that can be used",
    "no_answer": "it has no final action that could be shown to the judge",
    "no_vote": "no answer was found in it",
}


def action_of(rollout: Rollout) -> str:
    """What it came to, in one line."""
    if rollout.receipt.error is not None:
        return shown(rollout.receipt.error)
    return shown(in_one_line(rollout.action)) if rollout.action is not None else "final action not at hand"


def state_of(rollout: Rollout) -> str:
    """Its state in a few words."""
    if rollout.won:
        return "winner"
    if rollout.receipt.error is not None:
        return "failed"
    if rollout.place is None:
        return "passed over" if rollout.receipt.reason == PASSED_OVER else "not scored"
    return f"place {rollout.place}"


def verdict_of(rollout: Rollout) -> str:
    """How it was judged: a word, empty where nobody knows."""
    if rollout.verdict is None:
        return ""
    return {0.0: "wrong", 1.0: "right"}.get(rollout.verdict, f"{percent(rollout.verdict)} right")


def failed_to_win(rollout: Rollout) -> bool:
    """Whether it is known to be more wrong than right: nothing to celebrate where it was picked."""
    return rollout.verdict is not None and rollout.verdict < RIGHT


def better_ones(view: View) -> str:
    """Which rollouts were right where the winner was wrong."""
    right = [r.receipt.index for r in view.rollouts if r.verdict is not None and r.verdict >= RIGHT]
    if not right:
        return "No rollout was right."
    return (
        f"Rollout{'s' if len(right) > 1 else ''} {_listed(sorted(right))} {'were' if len(right) > 1 else 'was'} right."
    )


def why_not(rollout: Rollout) -> str:
    """Why it has no score; empty where it has one."""
    if rollout.receipt.error is not None or rollout.place is not None:
        return ""
    if rollout.receipt.reason == PASSED_OVER:
        return "Passed over: the plan that stopped (stop=) named others of which one was to be taken."
    reason = rollout.receipt.reason or "the selector left it out"
    return f"Not scored: {shown(_REASONS.get(reason, reason))}."


def reasons(view: View) -> list[str]:
    """Why the winner won."""
    selection, winner = view.selection, view.winner
    name = f"Rollout {winner.receipt.index}"
    if winner.place is None:
        return [f"No rollout could be scored, so {name.lower()}, the first that ended, was taken."]
    if not by_centroid(view):
        score = "" if winner.receipt.score is None else f", with a score of {winner.receipt.score:.3f}"
        return [f"{name} was ranked first by the selector {shown(selection.selector)}{score}.", *lead(view)]
    centroid = winner.mark or 0.0
    only = "the only one that could be scored" if len(selection.order) == 1 else "the lowest"
    return [
        f"Its {view.signal} centroid is {only}: {centroid:.3f}. On average its uncertain stretches lie {centroid:.0%} "
        "of the way through. The lower, the earlier a rollout hesitated, and the surer it was afterwards.",
        *lead(view),
    ]


def outcome(view: View) -> str:
    """Who won, and how all were judged where that is known, in a few words."""
    if view.winner.receipt.error is not None:
        return "every rollout failed"
    said = f"rollout {view.winner.receipt.index} won"
    if view.judged:
        right = sum((rollout.verdict or 0.0) >= RIGHT for rollout in view.rollouts)
        said += f", {verdict_of(view.winner)}; {right} of {len(view.rollouts)} are right"
    return said


def by_centroid(view: View) -> bool:
    """Whether the winner won by its centroid."""
    return view.selection.selector.startswith(LowestCentroid.label) and view.winner.mark is not None


def lead(view: View) -> list[str]:
    """How far the winner is ahead, and of whom; empty where it had no rival."""
    order, margin = view.selection.order, view.selection.margin
    if len(order) < 2 or margin is None:
        return []
    scores = {rollout.receipt.index: rollout.receipt.score for rollout in view.rollouts}
    equals = [index for index in order[1:] if scores[index] == scores[order[0]]]
    below = next((index for index in order if scores[index] != scores[order[0]]), None)
    said = []
    if equals:
        named = _listed(equals)
        same = all(r.receipt.same_as is not None for r in view.rollouts if r.receipt.index in equals)
        alike = "came out the same" if same else "have the same score"
        said.append(f"Rollout{'s' if len(equals) > 1 else ''} {named} {alike}; of equals the first wins.")
    if below is not None:
        off = abs((scores[below] or 0.0) - (scores[order[0]] or 0.0))
        said.append(f"The next best is rollout {below} with {number(scores[below])}, {off:.3f} off.")
    return said


def _listed(indices: list[int]) -> str:
    names = [str(index) for index in indices]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def carried_out(view: View) -> str:
    """The actions carried out; empty where there are none."""
    done = "; ".join(
        f"{commit.get('tool', '?')}({json.dumps(commit.get('args'), default=repr)})"
        for commit in view.selection.commits
    )
    return f"Carried out: {clipped(done, 400)}" if done else ""


def where(rollout: Rollout, phase: Hesitation) -> str:
    """Where a phase lies: ``at 74%, in call 5 of 6, before the tool convert``."""
    calls, length = rollout.calls, max(len(rollout.signal), 1)
    middle = (phase.start + phase.mass / 2) / length
    tools = [use.name for use in calls[phase.call].tools]
    before = f", before the tool{'s' if len(tools) > 1 else ''} {clipped(' and '.join(tools), 60)}" if tools else ""
    last = ", the last" if len(calls) > 1 and phase.call == len(calls) - 1 else ""
    return f"at {middle:.0%}, in call {phase.call + 1} of {len(calls)}{before}{last}"


def quoted(rollout: Rollout, phase: Hesitation) -> tuple[str, str]:
    """What stood before a phase in its call, and its own words; empty where texts were not kept."""
    texts, first = rollout.calls[phase.call].texts, rollout.starts[phase.call]
    if texts is None:
        return "", ""
    at = phase.start - first
    before = " ".join(shown("".join(texts[max(0, at - _BEFORE) : at])).split())  # a token is a letter, at least
    return before[-_BEFORE:], clipped("".join(texts[phase.start - first : phase.stop - first]), _WITHIN)


def hesitated(rollout: Rollout) -> str:
    """Where it hesitated most, without the words themselves."""
    longest = rollout.longest
    if longest is None:
        return "" if rollout.trajectory is None else "No phase of high entropy."
    tokens = many(longest.mass, "token")
    if len(rollout.hesitations) == 1:
        return f"Hesitated once, {where(rollout, longest)}, for {tokens}"
    return f"Hesitated most {where(rollout, longest)}, for {tokens}"


def cautions(view: View) -> list[str]:
    """What to know before trusting the choice, and what the picture lacks."""
    notes = [shown(note) for note in view.selection.warnings]
    if view.selection.earlier:
        notes.append(
            f"the winner went on after a commit: this is the last of {len(view.selection.earlier) + 1} rounds, each "
            "chosen for itself"
        )
    if view.missing:
        notes.append(
            "This selection was read back from its receipt, which holds no timelines: draw the one that run() returns"
        )
    elif not any(call.texts is not None for rollout in view.rollouts for call in rollout.calls):
        notes.append("the tokens' texts were not kept; best_of_n(..., keep_text=True) keeps them")
    if view.signal != ENTROPY:
        notes.append(f"no candidates came with the tokens, so what is drawn is their {view.signal}, not the entropy")
    return notes


def picture_of(rollout: Rollout) -> str:
    """The strip in words, for those who cannot see it."""
    receipt = rollout.receipt
    if rollout.trajectory is None or not len(rollout.signal):
        return "No timeline."
    said = [f"{many(receipt.calls, 'call')}, {many(receipt.tokens, 'token')}"]
    if rollout.mark is not None:
        said.append(f"centroid at {rollout.mark:.0%}")
    said += [f"phase {where(rollout, phase)}" for phase in rollout.hesitations[:8]]
    if len(rollout.hesitations) > 8:
        said.append(f"and {len(rollout.hesitations) - 8} more phases")
    if receipt.coverage is not None and receipt.coverage < 1:
        said.append(f"{percent(1 - receipt.coverage)} of the tokens came without logprobs")
    return "; ".join(said) + "."


def score_name(view: View) -> str:
    """What the rollouts were ranked by."""
    if view.selection.selector.startswith(LowestCentroid.label):
        return "centroid"
    return clipped(view.selection.selector.replace("_", " "), 40)


def call_facts(call: Call) -> str:
    """Tokens, node and model of a call."""
    said = ["length not known" if call.tokens is None else many(call.tokens, "token")]
    said += [clipped(call.node, 60)] if call.node else []
    said += [clipped(call.model, 80)] if call.model else []
    said += ["broken off"] if call.partial else []
    said += ["held to a grammar or schema"] if call.constrained else []
    return ", ".join(said)


def start_of(call: Call) -> str:
    """How a call's text begins, for those without scripts."""
    text = shown("".join(call.texts or ()))
    return text if len(text) <= _START else f"{text[:_START]} ..."


def bill(view: View) -> str:
    """Settings and cost."""
    config = view.selection.config
    return (
        f"Phases: the top {config.top_percent:g} % of a rollout's tokens start one, {config.consecutive_low} tokens in "
        f"a row of the bottom {config.bottom_percent:g} % end it. {paid(view)}"
    )


def stopping(view: View) -> str:
    """What ``stop=`` came to, in one sentence; empty where all rollouts were started at once and came to their end."""
    told = view.selection
    waves = f"in waves of {_listed(list(told.waves))}" if len(told.waves) > 1 else ""
    if told.stopped is None:
        return f"All {told.planned} rollouts were started, {waves}." if waves else ""
    of = f"{told.started} of {told.planned} rollouts were started"
    said = [", ".join(filter(None, (of, waves)))]
    if told.cancelled:
        said.append(f"{told.cancelled} {'was' if told.cancelled == 1 else 'were'} cancelled")
    saved = f"; about {many(told.saved_tokens, 'token')} saved" if told.saved_tokens else ""
    return f"{' and '.join(said)}: {clipped(told.stopped, 200)}{saved}."


def certainty(view: View) -> str:
    """How likely the winner is right, and what that rests on; empty without a calibration."""
    told = view.selection
    if told.probability is None:
        why = told.no_probability
        return f"No probability that the winner is right: {clipped(why, 600)}." if why else ""
    basis = told.rests_on
    tasks, run = basis.get("tasks"), basis.get("run")
    rests = [f"{tasks} task{'' if tasks == 1 else 's'}" if tasks else "", f"in {clipped(run, 80)}" if run else ""]
    where = f", fitted on {' '.join(filter(None, rests))}" if any(rests) else ""
    return f"Probability that the winner is right: {told.probability:.2f}{where}."


def paid(view: View) -> str:
    """Tokens over all rollouts, and of the selector if it asked a model."""
    usage, asked = view.selection.usage, view.selection.selector_usage
    told = f"Tokens over all rollouts: {_counted(usage) or 'unknown'}."
    if not asked:
        return told
    tokens = {name: count for name, count in asked.items() if name != "calls"}
    calls = many(asked.get("calls", 0), "call")
    return f"{told} Of these the selector took {_counted(tokens) or 'an unknown number'}, in {calls}."


def _counted(usage: Mapping[str, int]) -> str:
    return ", ".join(f"{usage[name]:,} {_PAID.get(name, name)}" for name in usage if usage[name])
