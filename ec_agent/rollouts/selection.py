"""The receipt of a selection: who ran, who won, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.support.checks import or_none, text
from ec_agent.support.plain import PlainError, made


@dataclass(frozen=True, slots=True)
class CandidateReceipt:
    """One rollout in the receipt.

    Attributes:
        index: number of the rollout, from 0.
        centroid: its entropy centroid in [0, 1); ``None`` where it has none: ``reason`` says why.
        score: what the selector gave it; for the default selector the centroid.
        reason: why it has no score: ``"failed"``, ``"coverage"``, ``"no_phases"``, ``"no model"`` (none was called), or
            the selector's own word; ``"passed over"`` where ``stop=`` named others of which one was to be taken.
        tokens: generated tokens on its timeline.
        scored_tokens: those of them that have the signal the selector reads, an entropy by default.
        phases: number of High Entropy Phases of that signal.
        calls: LLM calls that count.
        tool_calls: tools executed, as far as they are LangChain tools.
        coverage: share of generated tokens with that signal; ``None`` where it is not known.
        seconds: how long the rollout took.
        error: what it failed with; ``None`` where it ended.
        same_as: lowest index of an earlier rollout that came out identical; ``None`` where it is distinct.
        logprobs: how many of the calls came with what: ``"full"``, with candidates; ``"sampled"``, with the logprobs of
            the sampled tokens alone; ``"none"``.
        partial_calls: calls whose answer was not read, or not sent, to its end.
        constrained_calls: calls held to a grammar, a schema or a certain tool: their logprobs may be those before that
            constraint (llama.cpp's are).
        sampling: the sampling parameters asked for.
        unsampled_calls: calls to which they could not be applied.
        cached_calls: calls that an LLM cache answered in a model's place: they are on the timeline, and cost nothing.
        unplaced_tokens: tokens without logprobs that may be elsewhere than the timeline has them.
    """

    index: int
    centroid: float | None
    score: float | None
    reason: str | None
    tokens: int
    scored_tokens: int
    phases: int
    calls: int
    tool_calls: int
    coverage: float | None
    seconds: float
    error: str | None = None
    same_as: int | None = None
    logprobs: Mapping[str, int] = field(default_factory=dict)
    partial_calls: int = 0
    constrained_calls: int = 0
    sampling: Mapping[str, Any] = field(default_factory=dict)
    unsampled_calls: int = 0
    cached_calls: int = 0
    unplaced_tokens: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the rollouts were, beside their receipt: what a picture is drawn from. It is kept in memory only.

    Attributes:
        trajectories: the candidates' timelines, in their order.
        final_actions: what they would do next; ``None`` where one failed.
    """

    trajectories: tuple[Trajectory, ...]
    final_actions: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Who was selected, out of what, and with which settings. Serialisable: ``to_dict`` is plain JSON.

    Attributes:
        winner: index of the winner.
        order: indices of the scored candidates, the best first.
        candidates: all of them, in index order.
        margin: absolute gap between the winner's score and the runner-up's; ``None`` where there is none.
        selector: the selector's name.
        config: settings of the phases.
        distinct: how many of the rollouts that ended differ from each other.
        usage: ``prompt_tokens``, ``cached_tokens`` (of those, what the provider read from its cache) and
            ``generated_tokens`` over all rollouts, calls the filter leaves out included. ``cached_answer_tokens``,
            where an LLM cache gave answers in the place of the model, are none of these and cost nothing.
        warnings: what to know before trusting the choice.
        commits: the actions carried out, in order: ``tool``, ``args``, ``key`` (the idempotency key).
        undeclared_tools: tools that ran in more than one rollout and are neither in ``commit=`` nor marked
            ``@read_only``: what they did to the world, they did once per rollout.
        earlier: the receipts of earlier rounds, where the winner went on after a commit; ``usage`` is over all.
        planned: how many rollouts there were to be: ``n``.
        started: how many were started; fewer where ``stop=`` said that enough is known.
        ended: how many came to an end, those that failed left out. They alone are chosen from.
        cancelled: how many were stopped on their way by ``cancel=True``: their tokens are in ``usage``, and they are
            neither candidates nor failed.
        waves: how many rollouts were started together, wave by wave; they add up to ``started``.
        stopped: why no more were started, in the plan's own words; ``None`` where all were.
        saved_tokens: generated tokens that stopping saved. An estimate: had the rest been run to its end, each of it
            would have generated what the rollouts that ended did on average. ``None`` where they reported none.
        seen: the rollouts themselves, in a selection that ``run()`` has just returned; no part of ``to_dict``.
    """

    winner: int
    order: tuple[int, ...]
    candidates: tuple[CandidateReceipt, ...]
    margin: float | None
    selector: str
    config: HEPConfig
    distinct: int
    usage: Mapping[str, int]
    warnings: tuple[str, ...] = ()
    commits: tuple[Mapping[str, Any], ...] = ()
    undeclared_tools: tuple[str, ...] = ()
    earlier: tuple[Selection, ...] = ()
    planned: int = 0
    started: int = 0
    ended: int = 0
    cancelled: int = 0
    waves: tuple[int, ...] = ()
    stopped: str | None = None
    saved_tokens: int | None = 0
    seen: Seen | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.planned:  # a receipt of an earlier version: all were run
            count = len(self.candidates)
            ended = sum(candidate.error is None for candidate in self.candidates)
            for name, value in (("planned", count), ("started", count), ("ended", ended), ("waves", (count,))):
                object.__setattr__(self, name, value)

    @property
    def won(self) -> CandidateReceipt:
        """The winner's line."""
        return next(candidate for candidate in self.candidates if candidate.index == self.winner)

    def to_dict(self) -> dict[str, Any]:
        """The receipt as plain JSON."""
        plain = asdict(replace(self, seen=None, earlier=()))
        del plain["seen"]
        for name in ("order", "warnings", "undeclared_tools", "waves"):
            plain[name] = list(plain[name])
        plain["candidates"] = [dict(candidate) for candidate in plain["candidates"]]
        plain["commits"] = [dict(commit) for commit in plain["commits"]]
        plain["earlier"] = [selection.to_dict() for selection in self.earlier]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Selection:
        """The inverse of ``to_dict``. What it is given is data, of a file perhaps, and is looked at as such.

        Raises:
            ConfigError: a field is missing, unknown, or of another type; the winner, or one in the order, is no
                candidate.
        """
        try:
            return _read_back(plain, "the receipt")
        except (PlainError, RecursionError) as error:
            raise ConfigError(f"{error}; give what Selection.to_dict() made") from error

    def to_html(self, title: str | None = None) -> str:
        """The selection as a page, complete in itself: who won, why, and where each rollout hesitated.

        What was not kept is not there: texts need ``keep_text=True``, candidates ``keep_candidates=5``; a selection
        read back with ``from_dict`` has no timelines.

        Args:
            title: what was asked, say.

        Raises:
            ConfigError: jinja2 or matplotlib is not installed.
        """
        or_none("title", title, text, empty=True)
        from ec_agent.visual.page import page_of
        from ec_agent.visual.views import view_of

        return page_of(view_of(self, title))

    def __str__(self) -> str:
        """The table that the demo prints."""
        from ec_agent.visual.table import text_of

        return text_of(self)

    def _repr_html_(self) -> str | None:
        from ec_agent.visual.notebook import notebook_of
        from ec_agent.visual.views import view_of

        return notebook_of(view_of(self))


def _read_back(plain: Any, where: str) -> Selection:
    selection = made(Selection, plain, where, without=("seen",))
    for one in (selection, *_all_earlier(selection)):
        indices = [candidate.index for candidate in one.candidates]
        if len(set(indices)) < len(indices) or len(set(one.order)) < len(one.order):
            raise PlainError(f"{where} names a candidate twice")
        if not {one.winner, *one.order} <= set(indices):
            raise PlainError(f"{where} names a winner, or one in the order, that is no candidate")
    return selection


def _all_earlier(selection: Selection) -> Iterator[Selection]:
    for one in selection.earlier:
        yield one
        yield from _all_earlier(one)


def identical_to(fingerprints: Mapping[int, str | None]) -> list[int | None]:
    """For each rollout, by index, the lowest index of an earlier one with the same fingerprint."""
    first: dict[str, int] = {}
    same: list[int | None] = []
    for index, mark in fingerprints.items():
        same.append(None if mark is None or mark not in first else first[mark])
        if mark is not None:
            first.setdefault(mark, index)
    return same


def likely_cause(facts: Sequence[Mapping[str, Any]], *, cached: bool) -> str | None:
    """Why rollouts may have come out the same, from how their calls were made.

    Args:
        facts: of each rollout that ended.
        cached: whether a cache gave one that repeats another all its answers.
    """
    if cached:
        return "an LLM cache answered; switch it off for these rollouts (cache=False on the model)"
    temperatures = {t for fact in facts for t in fact["temperatures"]}
    if temperatures == {0} or temperatures == {0.0}:
        return "the temperature is 0; set it to 0.7 or more, or pass sampling=lambda i: {'temperature': 0.8}"
    seeds = [tuple(fact["seeds"]) for fact in facts]
    if any(seeds) and len(set(seeds)) == 1:
        return "all rollouts use the same seed; pass sampling=lambda i: {'seed': i}"
    return None
