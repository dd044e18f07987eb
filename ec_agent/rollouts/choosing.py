"""Choose the winner from the records of all rollouts, and write the receipt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ec_agent.capture.no_logprobs import ASK_BY_NAME, ASK_FOR_LOGPROBS, COUNT_ANSWERS, NOT_FROM_CACHE, OR_PLACEHOLDERS
from ec_agent.commits.undeclared import ran_in, repeated, said_of
from ec_agent.errors import (
    AllRolloutsFailedError,
    ConfigError,
    NoScoredRolloutError,
    QuorumError,
)
from ec_agent.numbers.call_fields import unpack_calls
from ec_agent.numbers.coverage import FEW, NO_MODEL, unscored
from ec_agent.numbers.signals import ENTROPY, leading
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.final_action import default_final_action
from ec_agent.rollouts.identical_rollouts import identical_note, identical_to
from ec_agent.rollouts.options import Options
from ec_agent.rollouts.record import Record, asked_a_model, total, was_cancelled, writes_of
from ec_agent.rollouts.selection import CandidateReceipt, Selection
from ec_agent.rollouts.unheard_calls import notes_of
from ec_agent.selectors import Candidate, Ranking
from ec_agent.stopping import Stop
from ec_agent.stopping.asking import PASSED_OVER, ranked, taken
from ec_agent.support.plans import Plan, Step

NOTHING_TO_CHOOSE_BY = (
    "no model was called in any rollout that ended, so there was nothing to choose by, and the first is taken; if a "
    "model was called, call it through LangChain or an openai client, and not from a thread without the context"
)


def candidate_of(
    record: Record, options: Options, question: Any = None, trajectory: Trajectory | None = None
) -> Candidate:
    """Turn a record into the candidate that a selector sees.

    Args:
        record: the record.
        options: the options of ``best_of_n``.
        question: the agent's input.
        trajectory: the calls of the record, if they were unpacked already.
    """
    trajectory = unpack_calls(record["calls"]) if trajectory is None else trajectory
    return Candidate(
        index=record["index"],
        trajectory=trajectory,
        final_action=final_action_of(record),
        config=options.config,
        unscored=None if record["error"] else _why_unscored(trajectory, options, asked_a_model(record)),
        error=record["error"],
        question=question,
    )


def final_action_of(record: Record) -> Any:
    """Return the final action of a recorded rollout; ``None`` for one that failed."""
    action = record["final_action"]
    if action is None or "value" in action:
        return None if action is None else action["value"]
    return default_final_action(writes_of(record))


def _why_unscored(trajectory: Trajectory, options: Options, asked: bool) -> str | None:
    """Return the reason why a rollout cannot be scored, as receipts have it; ``None`` if it can be.

    Args:
        trajectory: the timeline of its calls that count.
        options: the options of ``best_of_n``; the selector says which signal it needs.
        asked: whether a call of a model was seen in the rollout.
    """
    signal = leading(options.selector.signals)
    if signal is None:  # the selector needs no logprobs, so every rollout can be scored
        return None
    if not asked:
        return NO_MODEL
    if not trajectory.calls:  # a model was called, but every call failed or does not count
        return FEW
    return unscored(trajectory, signal, options.min_coverage, skip_unknown=options.on_missing == "score")


def choose(
    every: Sequence[Record],
    candidates: Sequence[Candidate],
    options: Options,
    errors: Mapping[int, Exception],
    n: int,
    stop: Stop | None = None,
    within: Callable[[Step], Step] = lambda step: step,
) -> Plan[Selection]:
    """Have the selector rank the rollouts, and write the receipt.

    Args:
        every: one record per rollout, in index order.
        candidates: the candidates for the selector: the same rollouts without cancelled ones.
        options: the options of ``best_of_n``.
        errors: the exceptions of failed rollouts that ran in this process.
        n: how many rollouts were planned.
        stop: the plan's reason to start no more, and which rollouts may win; ``None`` where all were started.
        within: bounds the time of the selector's step.

    Raises:
        AllRolloutsFailedError: every rollout failed.
        NoScoredRolloutError: none could be scored and ``on_unscored="raise"``.
        QuorumError: fewer could be scored than ``quorum``.
    """
    records = [record for record in every if not was_cancelled(record)]
    ended = [candidate for candidate in candidates if candidate.error is None]
    if not ended:
        _raise_all_failed(candidates, errors)
    among = None if stop is None else stop.among
    ranking = _checked((yield from ranked(options.selector, candidates, among, within)), candidates, options)
    none_ranked = None
    if not ranking.order:
        none_ranked = _note_none_ranked(candidates, records, ranking, options, may_raise=among is None)
    _check_quorum(candidates, records, ranking, options.limits.quorum, among)
    same = identical_to({record["index"]: record["fingerprint"] for record in records})
    undeclared = repeated(ran_in(every))
    return Selection(
        winner=taken(ranking, ended, among),
        order=tuple(ranking.order),
        candidates=_lines(candidates, records, ranking, same, leading(options.selector.signals) or ENTROPY),
        margin=margin_of(ranking),
        selector=options.selector.name,
        config=options.config,
        distinct=sum(c.error is None and same[place] is None for place, c in enumerate(candidates)),
        usage=total([record["usage"] for record in every]),
        warnings=_notes(ranking, records, none_ranked, same, undeclared),
        undeclared_tools=tuple(undeclared),
        **_counts(every, n),
        stopped=None if stop is None else stop.reason,
    )


def _notes(
    ranking: Ranking,
    records: Sequence[Record],
    none_ranked: str | None,
    same: Sequence[int | None],
    undeclared: Sequence[str],
) -> tuple[str, ...]:
    """Return the receipt's warnings; warn of rollouts that repeat one another.

    Args:
        ranking: the selector's, with its own warnings.
        records: those of all rollouts that were not cancelled.
        none_ranked: the note for a ranking without an order.
        same: which earlier rollout each of them repeats.
        undeclared: the tools that nobody declared and that ran in several rollouts.
    """
    unheard = notes_of([record["facts"] for record in records if record["error"] is None])
    said = (*([] if none_ranked is None else [none_ranked]), *identical_note(records, same))
    return (*ranking.warnings, *unheard, *said, *_lost_note(records), *([said_of(undeclared)] if undeclared else []))


def _lost_note(records: Sequence[Record]) -> list[str]:
    """Return the note about what was lost with workers that died; none if nothing was."""
    lost = [record["facts"]["lost"] for record in records if "lost" in record["facts"]]
    if not lost:
        return []
    rollouts, tokens = (sum(each[name] for each in lost) for name in ("rollouts", "tokens"))
    return [
        f"rollouts were lost with their workers {rollouts} times and ran again; what was lost, at least {tokens} "
        "tokens, is not in the usage above: see why the workers died"
    ]


def _lines(
    candidates: Sequence[Candidate],
    records: Sequence[Record],
    ranking: Ranking,
    same: Sequence[int | None],
    signal: str,
) -> tuple[CandidateReceipt, ...]:
    """Make the receipt's line of each candidate; ``same`` tells which earlier rollout each of them repeats."""
    each = zip(candidates, records, same, strict=True)
    return tuple(receipt_of(candidate, ranking, signal, **_ran(record, earlier)) for candidate, record, earlier in each)


def _note_none_ranked(
    candidates: Sequence[Candidate], records: Sequence[Record], ranking: Ranking, options: Options, *, may_raise: bool
) -> str:
    """Return the receipt's note for a ranking without an order.

    Raises:
        NoScoredRolloutError: the options want it, ``may_raise`` allows it, and there was something to score.
    """
    ended = [record for record in records if not record["error"]]
    # If all rollouts ask a person before they call a model, there is nothing to choose yet.
    asks = all(record["end"]["kind"] == "interrupt" and not record["calls"] for record in ended)
    if not asks:
        if not any(asked_a_model(record) for record in ended):
            return NOTHING_TO_CHOOSE_BY
        if options.on_unscored == "raise" and may_raise:
            _raise_none_scored(candidates, records, ranking, options)
    return "no rollout could be scored, so the first that ended was taken; each candidate's reason says why"


def _counts(records: Sequence[Record], n: int) -> dict[str, Any]:
    """Return the receipt's counts: the rollouts planned, started, ended and cancelled, and the tokens saved."""
    begun = [record for record in records if not record["end"].get("unbegun")]
    ended = [record for record in records if record["error"] is None and not was_cancelled(record)]
    cancelled = [record for record in begun if was_cancelled(record)]
    waves = Counter(record.get("wave", 0) for record in begun)
    planned = max(n, len(records))
    generated = [record["usage"].get("generated_tokens", 0) for record in ended]
    usual = sum(generated) / max(len(generated), 1)
    less = [max(usual - record["usage"].get("generated_tokens", 0), 0) for record in cancelled]
    saved = (planned - len(begun)) * usual + sum(less)
    return {
        "planned": planned,
        "started": len(begun),
        "ended": len(ended),
        "cancelled": len(cancelled),
        "waves": tuple(waves[wave] for wave in sorted(waves)),
        "saved_tokens": round(saved) if usual or not (cancelled or planned > len(begun)) else None,
    }


def _ran(record: Record, same: int | None) -> dict[str, Any]:
    facts = record["facts"]
    told = {each.name: facts[each.name] for each in fields(CandidateReceipt) if each.name in facts}
    return {**told, "seconds": record["seconds"], "same_as": same}


def receipt_of(candidate: Candidate, ranking: Ranking, signal: str, **ran: Any) -> CandidateReceipt:
    """Make a candidate's entry in the receipt.

    Args:
        candidate: the rollout.
        ranking: the selector's ranking.
        signal: the signal for its coverage and phases.
        **ran: the columns that its timeline does not give: ``tool_calls``, ``seconds`` and others.
    """
    trajectory = candidate.trajectory
    capabilities = Counter(str(call.capability) for call in trajectory.calls)
    score = ranking.scores.get(candidate.index)
    reason = "failed" if candidate.error else candidate.unscored or ranking.reasons.get(candidate.index)
    return CandidateReceipt(
        index=candidate.index,
        centroid=trajectory.centroid(candidate.config) if candidate.eligible else None,
        score=score,
        reason=reason if score is None or reason == PASSED_OVER else None,
        tokens=len(trajectory),
        scored_tokens=trajectory.count(signal),
        phases=len(trajectory.phases(candidate.config, signal).starts),
        calls=len(trajectory.calls),
        coverage=trajectory.share(signal),
        error=candidate.error,
        logprobs={name: capabilities[name] for name in ("full", "sampled", "none") if capabilities[name]},
        partial_calls=sum([call.partial for call in trajectory.calls]),
        constrained_calls=sum([call.constrained for call in trajectory.calls]),
        cached_calls=sum([call.from_cache for call in trajectory.calls]),
        unplaced_tokens=trajectory.unplaced_tokens,
        **ran,
    )


def _checked(ranking: Any, candidates: Sequence[Candidate], options: Options) -> Ranking:
    """Check the selector's ranking and return it with plain numbers: a selector may have used NumPy's."""
    if not isinstance(ranking, Ranking):
        raise ConfigError(
            f"selector {options.selector.name!r} returned {type(ranking).__name__}; return a Ranking(...)"
        )
    eligible = {candidate.index for candidate in candidates if candidate.eligible}
    if len(set(ranking.order)) != len(ranking.order) or not set(ranking.order) <= eligible:
        raise ConfigError(
            f"selector {options.selector.name!r} ranked {list(ranking.order)}, of which only "
            f"{sorted(eligible)} are eligible; rank each eligible candidate at most once"
        )
    return replace(
        ranking,
        order=tuple(int(index) for index in ranking.order),
        scores={int(i): None if s is None or s != s else float(s) for i, s in ranking.scores.items()},
    )


def margin_of(ranking: Ranking) -> float | None:
    """Return the absolute difference between the two best scores; ``None`` where there are not two."""
    if len(ranking.order) < 2:
        return None
    first, second = (ranking.scores.get(index) for index in ranking.order[:2])
    return None if first is None or second is None else abs(first - second)


def _raise_all_failed(candidates: Sequence[Candidate], errors: Mapping[int, Exception]) -> None:
    causes = "\n".join(f"  rollout {c.index}: {c.error}" for c in candidates)
    error = AllRolloutsFailedError(
        f"all {len(candidates)} rollouts failed:\n{causes}\n"
        "Correct the causes; to look closer, run the agent alone on this input",
        candidates,
        [None] * len(candidates),
    )
    raise error from (ExceptionGroup("causes", [errors[index] for index in sorted(errors)]) if errors else None)


def _check_quorum(
    candidates: Sequence[Candidate],
    records: Sequence[Record],
    ranking: Ranking,
    quorum: int | None,
    among: Sequence[int] | None,
) -> None:
    scored = len(ranking.order) if among is None else sum(candidate.eligible for candidate in candidates)
    if quorum is None or scored >= quorum:
        return
    reasons = {c.index: c.error or c.unscored or ranking.reasons.get(c.index, "not ranked") for c in candidates}
    causes = "\n".join(f"  rollout {i}: {why}" for i, why in reasons.items() if i not in ranking.order)
    raise QuorumError(
        f"{len(ranking.order)} of {len(candidates)} rollouts could be scored, fewer than quorum={quorum}:\n{causes}\n"
        "Correct the causes, or set a smaller quorum",
        candidates,
        outputs_of(records),
    )


def outputs_of(records: Sequence[Record]) -> list[Any]:
    """Return the writes of each rollout as ``(key, value)`` pairs; ``None`` for one that failed or was cancelled."""
    return [None if record["error"] or was_cancelled(record) else writes_of(record) for record in records]


def _raise_none_scored(
    candidates: Sequence[Candidate], records: Sequence[Record], ranking: Ranking, options: Options
) -> None:
    cached = any(record["facts"]["cache_hits"] for record in records if record["error"] is None)
    what, hint = _why_none_scored(candidates, ranking, options, cached)
    if any(c.trajectory.calls for c in candidates) and "no_vote" not in ranking.reasons.values():
        hint = f"{hint}; or {COUNT_ANSWERS}" if leading(options.selector.signals) is not None else hint
    raise NoScoredRolloutError(
        f"none of {len(candidates)} rollouts could be scored: {what}. Either {hint}; or take the first "
        'rollout in such a case with best_of_n(..., on_unscored="first")',
        candidates,
        outputs_of(records),
    )


def _why_none_scored(
    candidates: Sequence[Candidate], ranking: Ranking, options: Options, cached: bool
) -> tuple[str, str]:
    """Return why no rollout could be scored, and what to do. ``cached``: an LLM cache answered some calls."""
    signal = leading(options.selector.signals)
    calls = [call for c in candidates for call in c.trajectory.calls]
    models = ", ".join(repr(name) for name in sorted({call.model for call in calls if call.model}))
    models = models or "(name unknown)"
    ended = [candidate for candidate in candidates if candidate.error is None]
    reasons = sorted(set(ranking.reasons.values()))
    if signal is None or "no_vote" in reasons:
        why = ", ".join(reasons) or "no reason given"
        return f"the selector {options.selector.name!r} could score no rollout ({why})", (
            "give a vote a normalize= that finds an answer, or choose another selector"
        )
    if not any(c.trajectory.calls for c in ended):
        return "no LLM call was seen in any rollout", (
            "make the calls through LangChain or an openai client, not from threads that do not copy the "
            "context, and make sure that `calls=` does not leave them all out"
        )
    if any(c.trajectory.count(signal) for c in ended):
        return "every rollout has too few tokens with logprobs (see min_coverage), or no phases", ASK_FOR_LOGPROBS
    if cached:
        return f"an LLM cache answered for the model {models}, without logprobs", NOT_FROM_CACHE
    if any(call.capability == "sampled" for call in calls):
        what = f"the model {models} returned logprobs of the sampled tokens alone, without candidates"
        return what, f"{ASK_FOR_LOGPROBS}; or {ASK_BY_NAME}"
    return f"the model {models} returned no logprobs{OR_PLACEHOLDERS}", ASK_FOR_LOGPROBS
