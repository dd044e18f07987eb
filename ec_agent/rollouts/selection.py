"""The receipt of a choice: which rollouts ran, which one won, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.support.checks import or_none, text
from ec_agent.support.from_plain import PlainError, made, unmade


@dataclass(frozen=True, slots=True)
class CandidateReceipt:
    """One rollout in the receipt.

    Attributes:
        index: number of the rollout, from 0.
        centroid: its entropy centroid in [0, 1); ``None`` where it has none, and ``reason`` says why.
        score: its score from the selector; with the default selector, the centroid.
        reason: why it has no score: ``"failed"``, ``"coverage"``, ``"no_phases"``, ``"no model"`` (no model was
            called), or a reason of the selector; ``"passed over"`` if the plan given as ``stop=`` allowed only other
            rollouts to win.
        tokens: number of generated tokens on its timeline.
        scored_tokens: how many of these have the signal that the selector reads, by default an entropy.
        phases: number of High Entropy Phases of that signal.
        calls: number of LLM calls that count.
        tool_calls: number of LangChain tools that ran.
        coverage: share of generated tokens with that signal, 0 to 1; ``None`` where it is not known.
        seconds: how long the rollout ran.
        error: type and text of its error; ``None`` where it did not fail.
        same_as: lowest index of an earlier rollout with the same result; ``None`` where there is none.
        logprobs: number of calls by the logprobs that came: ``"full"`` (also of other candidates), ``"sampled"`` (only
            of the sampled tokens), ``"none"``.
        partial_calls: number of calls whose answer was not complete, or not read to its end.
        constrained_calls: number of calls that had to follow a grammar, a schema or a certain tool. Their logprobs may
            be those from before that constraint, as llama.cpp's are.
        sampling: the sampling parameters that ``sampling=`` gave.
        unsampled_calls: number of calls to which these parameters could not be applied.
        cached_calls: number of calls that an LLM cache answered. They are on the timeline, but cost nothing.
        unplaced_tokens: number of tokens without logprobs whose place on the timeline is not certain.
        agent: the name of the agent that the rollout ran, where ``best_of_n`` has several; else ``None``.
        reading: number of calls by what their answers were read from: the ``"bytes"`` of the response, before the
            ``openai`` client made objects of them; its ``"objects"``; or a LangChain ``"message"`` of another client.
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
    agent: str | None = None
    reading: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The rollouts' timelines and final actions, from which pictures are drawn. They are kept in memory only.

    Attributes:
        trajectories: the candidates' trajectories, in their order.
        final_actions: the candidates' final actions, in their order; ``None`` for a failed one.
    """

    trajectories: tuple[Trajectory, ...]
    final_actions: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """The receipt: which rollout was selected, out of which, and with which settings. ``to_dict`` makes plain JSON.

    Attributes:
        winner: index of the winner.
        order: indices of the scored candidates, the best first.
        candidates: all candidates, in index order.
        margin: absolute difference between the winner's score and the next best; ``None`` where there are not two.
        selector: the selector's name.
        config: settings of the High Entropy Phases.
        distinct: how many different results the rollouts that ended have.
        usage: tokens over all rollouts and of the selector, also of calls that do not count: ``prompt_tokens``,
            ``generated_tokens``, and ``cached_tokens`` (the prompt tokens that the provider had cached).
            ``cached_answer_tokens`` is separate: the tokens of answers from an LLM cache, which cost nothing.
        warnings: what to know before trusting the choice.
        commits: the actions carried out, in order: ``tool``, ``args``, ``key`` (the idempotency key).
        undeclared_tools: tools that ran in more than one rollout and are neither in ``commit=`` nor marked
            ``@read_only``. What such a tool does to the world was done once per rollout.
        earlier: the receipts of earlier rounds, where the winner went on after a commit; ``usage`` is over all.
        planned: how many rollouts were planned: ``n``.
        started: how many were started: fewer than planned if ``stop=`` said that enough is known.
        ended: how many ended without failing. The winner is one of them.
        cancelled: how many were stopped while they ran, by ``cancel=True``. Their tokens are in ``usage``, but they are
            no candidates, and do not count as failed.
        waves: how many rollouts were started in each wave; they add up to ``started``.
        stopped: why no more were started, in the plan's words; ``None`` where all were.
        saved_tokens: estimate of the generated tokens that stopping has saved: it assumes that each rollout not run to
            its end would have generated as many as the others on average. ``None`` where the others reported none.
        selector_usage: what the selector's own calls of models cost, as in ``usage``, and their number: ``calls``. It
            is a part of ``usage``, over all rounds; empty if the selector asked no model.
        failed_selector: if the selector failed, its name and why. What its ``on_failure`` says has chosen then:
            ``selector`` is the name of that, and scores and order are its own.
        probability: how likely the winner is right, in (0, 1), by the calibration given as ``probability=``; ``None``
            where none was given, or where it says nothing about this choice.
        no_probability: why it says nothing about this choice; ``None`` without a calibration, and with a probability.
        rests_on: what the calibration rests on: ``tasks`` (how many), ``right`` (mean verdict of their winners),
            ``selector``, ``n``, ``run`` (name of the file), ``fitted`` (when), and others; empty without one.
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
    selector_usage: Mapping[str, int] = field(default_factory=dict)
    failed_selector: str | None = None
    probability: float | None = None
    no_probability: str | None = None
    rests_on: Mapping[str, Any] = field(default_factory=dict)
    seen: Seen | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.planned:  # a receipt of an earlier version, in which all rollouts ran
            count = len(self.candidates)
            ended = sum(candidate.error is None for candidate in self.candidates)
            for name, value in (("planned", count), ("started", count), ("ended", ended), ("waves", (count,))):
                object.__setattr__(self, name, value)

    @property
    def won(self) -> CandidateReceipt:
        """The winner's entry in ``candidates``."""
        return next(candidate for candidate in self.candidates if candidate.index == self.winner)

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt as plain JSON."""
        plain = unmade(self, without=("seen", "earlier"))
        for name in ("order", "warnings", "undeclared_tools", "waves"):
            plain[name] = list(plain[name])
        plain["candidates"] = [dict(candidate) for candidate in plain["candidates"]]
        plain["commits"] = [dict(commit) for commit in plain["commits"]]
        plain["earlier"] = [selection.to_dict() for selection in self.earlier]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Selection:
        """Read a receipt back from what ``to_dict`` made. Every field is checked, for it may come from any file.

        Raises:
            ConfigError: a field is missing, unknown, or of another type; or the winner or the order names a rollout
                that is no candidate.
        """
        try:
            return _read_back(plain, "the receipt")
        except (PlainError, RecursionError) as error:
            raise ConfigError(f"{error}; give what Selection.to_dict() made") from error

    def to_html(self, title: str | None = None) -> str:
        """Return the selection as an HTML page without links to other files: who won, why, and where each was unsure.

        The page shows token texts only with ``keep_text=True``, and the likeliest candidates of a token only with
        ``keep_candidates=5``. A selection read back with ``from_dict`` has no timelines.

        Args:
            title: heading of the page, for example the question.

        Raises:
            ConfigError: jinja2 or matplotlib is not installed.
        """
        or_none("title", title, text, empty=True)
        from ec_agent.visual.page import page_of
        from ec_agent.visual.views import view_of

        return page_of(view_of(self, title))

    def __str__(self) -> str:
        """Return the receipt as a table for the terminal."""
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
