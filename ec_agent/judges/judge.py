"""The base class of selectors that ask a model: what they show it, how they ask, and what is told of failures."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from inspect import iscoroutine
from typing import Any

from langchain_core.runnables.config import ContextThreadPoolExecutor

from ec_agent.errors import ConfigError, RolloutError, SelectorError
from ec_agent.judges.models import JudgeModel
from ec_agent.judges.reading import Shares, shares_of
from ec_agent.judges.texts import action_text, cut, question_text
from ec_agent.numbers.trajectory import Call
from ec_agent.selectors.base import Candidate, Ranking, Selector, candidates_of, reads
from ec_agent.selectors.registry import RAISE, check_on_failure
from ec_agent.selectors.scoring import Named, by_score
from ec_agent.support.checks import checked, function, or_none, whole
from ec_agent.support.escaping import clipped
from ec_agent.support.plans import Plan, Step, adrive, drive

_FEW = 0.5  # share of the probability; below it, the model did not answer as asked
_LONGEST = 200  # letters of an error in a note


@dataclass(frozen=True, slots=True)
class Judge(Named):
    """Base class of selectors that ask a model.

    Rollouts with the same final action are judged once. What they are asked for is one short answer at temperature 0,
    with logprobs; parameters that the endpoint refuses are left out.

    Attributes:
        model: who is asked: a LangChain chat model, or an ``OpenAI`` or ``AsyncOpenAI`` client.
        model_name: the model's name, for a client.
        on_failure: who chooses if no answer can be used, or a limit ends the choice: ``"raise"`` a ``SelectorError``,
            ``"first"``, or another selector.
        question: ``question(input)`` writes the agent's input as text. By default: its messages with their roles.
        answer: ``answer(final_action)`` writes a final action as text. By default: its text and tool calls.
        max_chars: the longest question, and the longest answer, in characters. The middle of a longer one is left out.
        max_concurrency: how many calls run at once.

    Raises:
        ConfigError: an attribute has a value that is not allowed.
    """

    signals = reads()

    model: Any
    model_name: str | None = field(default=None, kw_only=True)
    on_failure: str | Selector = field(default=RAISE, kw_only=True)
    question: Callable[[Any], str] | None = field(default=None, kw_only=True)
    answer: Callable[[Any], str] | None = field(default=None, kw_only=True)
    max_chars: int = field(default=8000, kw_only=True)
    max_concurrency: int = field(default=8, kw_only=True)
    _asked: JudgeModel = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_asked", JudgeModel(self.model, self.model_name))
        check_on_failure(self.on_failure)
        or_none("question", self.question, function, "a function from the agent's input to a text, or None", of=1)
        or_none("answer", self.answer, function, "a function from a final action to a text, or None", of=1)
        checked(self, "max_chars", whole, 100)
        checked(self, "max_concurrency", whole)

    @property
    def name(self) -> str:
        """The selector's name in receipts: its label, with the model's name and the settings that differ."""
        return f"{self.label}({', '.join([self._asked.name, *self._settings()])})"

    @abstractmethod
    def _settings(self) -> list[str]:
        """Return the settings of the method that differ from the defaults, for the name."""

    @abstractmethod
    def most_calls(self, n: int) -> int:
        """Return how many calls the selector makes for ``n`` rollouts at most."""

    @abstractmethod
    def _judged(self, question: str, answers: Sequence[str], notes: Notes) -> Plan[list[float | None]]:
        """Return the score of each answer, the higher the better; ``None`` for one that has none.

        Args:
            question: the question.
            answers: the different answers, in the order in which rollouts gave them.
            notes: notes what came of the calls.
        """

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Ask about the candidates and rank them, the best first.

        Raises:
            SelectorError: no answer of the model can be used.
            ConfigError: the candidates do not say what was asked; or a function of the user's did not return a text.
        """
        return drive(self._select(candidates))

    async def aselect(self, candidates: Sequence[Candidate]) -> Ranking:
        """Do what ``select`` does, without blocking the event loop.

        Raises:
            Exception: as ``select``.
        """
        return await adrive(self._select(candidates))

    def _select(self, given: Sequence[Candidate]) -> Plan[Ranking]:
        candidates = candidates_of(given)
        entrants, notes = self.entrants(candidates), Notes(self._asked.name)
        written = {candidate.index: self._written(candidate, notes) for candidate in entrants}
        answers = list(dict.fromkeys(answer for answer in written.values() if answer))
        scored: dict[str, float | None] = {}
        if answers:
            asked = self._question_of(entrants[0], notes)
            scored = dict(zip(answers, (yield from self._judged(asked, answers, notes)), strict=True))
        scores = {index: scored.get(answer) for index, answer in written.items()}
        ranking = by_score(
            candidates, scores, lower_is_better=False, unscored_reason="no_verdict", warnings=notes.warnings()
        )
        if entrants and not ranking.order:
            raise SelectorError(notes.nothing_usable()) from notes.error
        return replace(ranking, reasons={i: why if written[i] else "no_answer" for i, why in ranking.reasons.items()})

    def _question_of(self, candidate: Candidate, notes: Notes) -> str:
        if candidate.question is None:
            raise ConfigError(
                f"candidate {candidate.index} does not say what was asked, and the judge needs it; give "
                "Candidate(..., question=...)"
            )
        return self._cut(_text_by("question", self.question or question_text, candidate.question), notes)

    def _written(self, candidate: Candidate, notes: Notes) -> str:
        return self._cut(_text_by("answer", self.answer or action_text, candidate.final_action).strip(), notes)

    def _cut(self, text: str, notes: Notes) -> str:
        notes.cut += len(text) > self.max_chars
        return cut(text, self.max_chars)

    def _ask(self, prompts: Sequence[str], words: Sequence[str], notes: Notes) -> Plan[list[Shares | None]]:
        """Ask several questions at once, and return the probabilities of the words that answer each.

        Args:
            prompts: the questions.
            words: the words that may answer them, in lower case.
            notes: notes what came of the calls.

        Returns:
            One per question; ``None`` where the call failed, or none of the words was among the candidates.

        Raises:
            RolloutError: a limit was reached.
            ConfigError: an argument is wrong.
        """
        came = yield _together([self._asked.ask(prompt) for prompt in prompts], self.max_concurrency)
        return [notes.read(each, words) for each in came]


@dataclass(slots=True)
class Notes:
    """What came of a judge's calls, for the receipt.

    Attributes:
        model: the model's name.
        asked: how many calls were made.
        failed: how many failed.
        blind: how many answers came without logprobs.
        beside: how many had none of the expected words among the candidates of their first token.
        unsure: how many had less than half of the probability on the expected words.
        cut: how many texts were cut.
        error: the first error of a call.
        words: the expected words.
        more: further sentences.
    """

    model: str
    asked: int = 0
    failed: int = 0
    blind: int = 0
    beside: int = 0
    unsure: int = 0
    cut: int = 0
    error: Exception | None = None
    words: str = ""
    more: list[str] = field(default_factory=list)

    def read(self, came: Call | Exception | None, words: Sequence[str]) -> Shares | None:
        """Read one answer, and note what is wrong with it."""
        self.asked += 1
        self.words = f"{', '.join(words[:-1])} or {words[-1]}"
        if isinstance(came, Exception):
            self.failed += 1
            self.error = self.error or came
            return None
        shares = None if came is None else shares_of(came, words)
        if shares is None:
            self.blind += 1
            return None
        if not shares.found:
            self.beside += 1
            return None
        self.unsure += shares.mass < _FEW
        return shares

    def warnings(self) -> tuple[str, ...]:
        """Return sentences for the receipt."""
        of = f"of {self.asked} judgements of {self.model}"
        counts = (
            (self.failed, f"{{}} {of} failed ({clipped(repr(self.error), _LONGEST)})"),
            (self.blind, f"{{}} {of} came without logprobs"),
            (self.beside, f"{{}} {of} had neither of {self.words} among the likeliest first tokens"),
        )
        found = [f"{said.format(count)}, and say nothing about their rollouts" for count, said in counts if count]
        if self.unsure:
            found.append(
                f"in {self.unsure} {of} the first token was more probably another than {self.words}, so that the model "
                "does not answer as asked; try another model"
            )
        if self.cut:
            found.append(f"{self.cut} texts were too long for the judge, and their middle was left out (max_chars)")
        return (*found, *self.more)

    def nothing_usable(self) -> str:
        """Return why no candidate has a score."""
        if not self.asked:
            return "no rollout has a final action that can be shown to the judge; give answer= a function that finds it"
        if self.failed:
            return f"{self.failed} of {self.asked} calls of {self.model} failed: {clipped(repr(self.error), _LONGEST)}"
        if self.blind:
            return (
                f"{self.model} returned no logprobs in {self.blind} of {self.asked} calls; ask a model whose endpoint "
                "returns them (docs/providers.md)"
            )
        return (
            f"{self.model} answers with other words than {self.words} in all of {self.asked} calls; ask a model that "
            "follows instructions better"
        )


def _text_by(name: str, write: Callable[[Any], Any], value: Any) -> str:
    try:
        text = write(value)
    except Exception as error:
        raise ConfigError(f"{name}= failed with {error!r}; return a text") from error
    if not isinstance(text, str):
        if iscoroutine(text):
            text.close()
        raise ConfigError(f"{name}= returned {type(text).__name__}; return a text")
    return text


def _together(plans: Sequence[Plan[Call | None]], most: int) -> Step:
    """Make a step that carries out plans, at most so many at once; an error takes the place of a plan's result.

    Raises:
        RolloutError: a limit was reached.
        ConfigError: an argument is wrong.
    """

    def sync() -> list[Any]:
        with ContextThreadPoolExecutor(max_workers=most, thread_name_prefix="ec_agent-judge") as pool:
            return list(pool.map(drive, [_kept(plan) for plan in plans]))

    async def wait() -> list[Any]:
        room = asyncio.Semaphore(most)

        async def one(plan: Plan[Call | None]) -> Any:
            async with room:
                return await adrive(_kept(plan))

        tasks = [asyncio.create_task(one(plan)) for plan in plans]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:  # a limit was reached, or the run is cancelled: what is still asked is asked in vain
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    return Step(sync, wait)


def _kept(plan: Plan[Call | None]) -> Plan[Any]:
    try:
        return (yield from plan)
    except (RolloutError, ConfigError):
        raise
    except Exception as error:
        return error
