"""The options of ``best_of_n``, and the checks of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.types import RetryPolicy, Send
from typing_extensions import TypedDict

from ec_agent.capture.filters import CallPredicate, predicate
from ec_agent.commits.at_most_once import OnUncertain
from ec_agent.commits.declared_tools import Commit
from ec_agent.commits.journal import Journal, check_journal
from ec_agent.engines.base import Engine, is_engine
from ec_agent.environments.worlds import EnvironmentFactory
from ec_agent.errors import ConfigError
from ec_agent.numbers.coverage import MIN_COVERAGE
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.signals import CONFIDENCE, ENTROPY, SELF_CERTAINTY, leading
from ec_agent.probability.fitted import FittedProbability
from ec_agent.rollouts.handing_over import check_hand_over
from ec_agent.rollouts.limits import Limits
from ec_agent.selectors import AnySelector, Candidate, LowestCentroid
from ec_agent.selectors.registry import check_selector, extra_signals_of
from ec_agent.stopping import StoppingPlan
from ec_agent.stopping.asking import check_plan, signals_of
from ec_agent.support.checks import (
    checked,
    flag,
    function,
    instance,
    one_of,
    or_none,
    refusal,
    repr_of,
    seconds,
    share,
    text,
    whole,
)

OnMissing = Literal["exclude", "raise", "score"]
OnUnscored = Literal["raise", "first"]
OnCommit = Literal["route", "execute"]
_FUNCTIONS = {
    "final_action": 2,
    "route": 1,
    "output": 1,
    "sampling": 1,
    "environment": 2,
    "promote": 1,
}
"""The options that are functions, with the number of arguments that each is called with."""
_OF_CANDIDATES = (ENTROPY, CONFIDENCE, SELF_CERTAINTY)
Destination = str | Send | Sequence[str | Send]


class BestOfNOptions(TypedDict, total=False):
    """The keyword arguments of ``best_of_n``.

    They are in this order here and in docs/options.md: what runs, how it is chosen, when it stops, where it goes on,
    what may act, what is kept.

    Attributes:
        sampling: ``sampling(index)`` returns parameters for a rollout's requests, such as
            ``{"seed": index, "temperature": 0.8}``. They are set on every request made by an ``openai`` client.
        request_logprobs: ask for logprobs in requests that do not ask for them, so that an agent built without them
            works unchanged. It works for every request made by an ``openai`` client. If an endpoint refuses (too many
            candidates, or logprobs together with tools and streaming), they are requested in another way.
        share_prompt: start one rollout first, and the others when its first answer begins to come. By then the server
            has read the prompt that all share, and can take it from its cache. A model that does not stream shows this
            only by its whole answer, so the others wait longer. Give seconds instead of ``True`` to limit that wait.
            With the embedded model, the others start as soon as it has read the prompt. See docs/speed.md for what
            this saves with which server.
        preflight: before the rollouts, test once per process and chat model whether its answers and tool calls can be
            scored, and raise ``PreflightError`` if not. ``True`` looks for the models in the agent, except those that
            are only in nodes left out by ``calls=CallFilter(...)``. If ``calls`` selects by more than nodes, give the
            model, or a list of models.
        retry: a ``RetryPolicy`` or several; a rollout that fails is started anew by them.
        environment: ``environment(index, input)`` returns a context manager for each rollout, sync or async. Tools get
            what it yields from ``get_environment()``. If the run is killed, finished rollouts run again, because their
            environments are gone, unless the factory has ``reopen(token)``, which returns a context manager too, and
            the environment has a ``token``.
        engine: where the rollouts run: ``RayEngine(...)`` runs them on the workers of a Ray cluster. The agent is then
            named by its place, ``best_of_n("module:name", engine=...)``. The choice, commits and routing stay in this
            process. ``None`` runs rollouts here, too. See docs/scale.md.
        selector: chooses the winner; ``LowestCentroid()`` by default. It may be async and ask a model, as those of
            ``ec_agent.judges`` do.
        config: settings of the High Entropy Phases; ``HEPConfig()`` (1 / 80 / 2) by default.
        calls: which LLM calls count: a ``CallFilter``, or a function from ``CallInfo`` to bool.
        final_action: ``final_action(state, writes)`` returns what a rollout would do next. By default that is a new
            ``structured_response``, else the last AI message written, else everything written.
        on_missing: what to do if a call has no logprobs. ``"exclude"`` leaves its rollout unscored if coverage falls
            below ``min_coverage``; ``"score"`` scores the tokens that have them, and leaves calls of unknown length
            out of the coverage; ``"raise"`` raises ``MissingLogprobsError`` at the first such call.
        min_coverage: smallest share of generated tokens, 0 to 1, that must have the signal that the selector reads (by
            default an entropy); below it a rollout is not scored.
        on_unscored: what to do if no rollout can be scored: ``"raise"``, or ``"first"``: take the first that ended.
        probability: a calibration that ``ec-agent calibrate --probability`` fitted and ``load_settings`` reads. The
            receipt and the winner that ``route=`` gets then have a probability that the winner is right, or the
            receipt says why there is none. It changes no choice.
        stop: a plan that says when enough is known: ``Agreement()``, ``OutOfReach()``, or any object with
            ``enough(candidates, running, n)``. The rollouts then start in waves. After each wave the plan answers
            ``Stop("why")`` or ``More(count)``. ``None`` runs all n.
        cancel: with ``stop=``: start all n at once, ask the plan whenever one ends, and once enough is known stop the
            others at their next model call, tool call or ``await``. This saves time. Without it, ``stop=`` starts
            rollouts in waves, which saves tokens.
        limits: limits of time and tokens: ``Limits(timeout=..., max_tokens=..., max_concurrency=...)``.
        route: ``route(winner)`` returns the next node's name, or ``Send``s, instead of the winner's own ``goto``. It
            gets the winner as a ``Candidate``, with its ``probability``. ``HandOver(below=0.8, to="person")`` is a
            ready one. Declare the destinations when you add the node:
            ``builder.add_node("solve", best_of_n(...), destinations=(...))``.
        output: ``output(final_state)`` turns the agent's final state (for a function its update) into an update of
            the outer state, where the two have different keys.
        selection_key: key of the outer state that receives the receipt as plain JSON.
        commit: tools that must not run n times, or their names. A rollout stops at the first message that calls one of
            them: none of that message's calls run, and the message is its final action. ``"unknown"`` treats every
            tool that is not marked ``@read_only`` so. Tools marked ``@commit_tool`` need not be listed. If a tool that
            is neither listed nor marked runs in more than one rollout, the first run gives an
            ``UndeclaredToolWarning``; ``[]`` declares that no tool acts.
        on_commit: what to do with the winner's call. ``"route"`` leaves it to the outer graph, for example to a
            ``ToolNode``; ``"execute"`` carries it out here, at most once. Inside another rollout it is always routed.
        continue_after_commit: after an executed commit, let the winner go on to the next commit or the answer, again
            in n rollouts of which one is chosen.
        max_rounds: the largest number of such rounds. The commit at the end of the last is carried out too.
        on_uncertain: what to do with a commit that may have taken effect before a kill: ``"raise"``
            ``CommitUncertain``, or ``"retry"`` with the same idempotency key, for receivers that ignore a key they
            have seen.
        journal: where commits are written down: by default in the run's checkpointer, without one in memory;
            ``SQLiteJournal(path)`` keeps them in a file.
        promote: ``promote(environment)`` makes the winner's environment the real one, once, after its commit.
        keep_logprobs: keep the provider's logprobs in the winner's messages. By default they are removed, because 20
            logprobs per token make a checkpoint about 170 times as large.
        keep_text: keep the tokens' texts in the trajectories, and the arguments and results of tools.
        keep_candidates: how many of each token's likeliest candidates the trajectories keep, for
            ``Selection.to_html``.
    """

    # What runs
    sampling: Callable[[int], Mapping[str, Any]] | None
    request_logprobs: bool
    share_prompt: bool | float
    preflight: bool | BaseChatModel | Sequence[Any]
    retry: RetryPolicy | Sequence[RetryPolicy] | None
    environment: EnvironmentFactory | None
    engine: Engine | None

    # How it is chosen
    selector: AnySelector
    config: HEPConfig
    calls: CallPredicate | None
    final_action: Callable[[Any, list[tuple[str, Any]]], Any] | None
    on_missing: OnMissing
    min_coverage: float
    on_unscored: OnUnscored
    probability: FittedProbability | None

    # When it stops
    stop: StoppingPlan | None
    cancel: bool
    limits: Limits

    # Where it goes on
    route: Callable[[Candidate], Destination] | None
    output: Callable[[Any], Mapping[str, Any]] | None
    selection_key: str | None

    # What may act
    commit: Commit
    on_commit: OnCommit
    continue_after_commit: bool
    max_rounds: int
    on_uncertain: OnUncertain
    journal: Journal | None
    promote: Callable[[Any], Any] | None

    # What is kept
    keep_logprobs: bool
    keep_text: bool
    keep_candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of ``best_of_n`` with their defaults, checked. ``BestOfNOptions`` says what each field means.

    Raises:
        ConfigError: an option has a value that is not allowed, or two options contradict each other.
    """

    # What runs
    n: int = 8
    sampling: Callable[[int], Mapping[str, Any]] | None = None
    request_logprobs: bool = False
    share_prompt: bool | float = False
    preflight: bool | BaseChatModel | Sequence[Any] = False
    retry: RetryPolicy | Sequence[RetryPolicy] | None = None
    environment: EnvironmentFactory | None = None
    engine: Engine | None = None

    # How it is chosen
    selector: AnySelector = field(default_factory=LowestCentroid)
    config: HEPConfig = field(default_factory=HEPConfig)
    calls: CallPredicate | None = None
    final_action: Callable[[Any, list[tuple[str, Any]]], Any] | None = None
    on_missing: OnMissing = "exclude"
    min_coverage: float = MIN_COVERAGE
    on_unscored: OnUnscored = "raise"
    probability: FittedProbability | None = None

    # When it stops
    stop: StoppingPlan | None = None
    cancel: bool = False
    limits: Limits = field(default_factory=Limits)

    # Where it goes on
    route: Callable[[Candidate], Destination] | None = None
    output: Callable[[Any], Mapping[str, Any]] | None = None
    selection_key: str | None = None

    # What may act
    commit: Commit = None
    on_commit: OnCommit = "route"
    continue_after_commit: bool = False
    max_rounds: int = 8
    on_uncertain: OnUncertain = "raise"
    journal: Journal | None = None
    promote: Callable[[Any], Any] | None = None

    # What is kept
    keep_logprobs: bool = False
    keep_text: bool = False
    keep_candidates: int = 0

    def __post_init__(self) -> None:
        checked(self, "n", whole)
        check_selector(self.selector, asking=True)
        instance("config", self.config, HEPConfig, "a HEPConfig(...)")
        instance("limits", self.limits, Limits, "Limits(...)")
        if self.stop is not None:
            check_plan(self.stop)
        if flag("cancel", self.cancel) and self.stop is None:
            raise ConfigError(
                "cancel=True needs stop=, which says when enough is known: give a plan such as stop=Agreement(), or "
                "leave cancel out"
            )
        self._check_safety()
        for name, takes in _FUNCTIONS.items():
            or_none(name, getattr(self, name), function, "a function or None", of=takes)
        or_none("calls", self.calls, predicate)
        for each in self.preflight if isinstance(self.preflight, list | tuple) else (self.preflight,):
            if not isinstance(each, bool | Runnable) or (isinstance(each, bool) and each is not self.preflight):
                raise refusal("preflight", self.preflight, "True, False, a chat model, or a list of chat models")
        if self.preflight is not False and leading(self.selector.signals) not in _OF_CANDIDATES:
            raise ConfigError(
                f"preflight= looks for candidates, which selector {self.selector.name!r} does not read; leave it out"
            )
        one_of("on_missing", self.on_missing, get_args(OnMissing))
        one_of("on_unscored", self.on_unscored, get_args(OnUnscored))
        if self.probability is not None:
            instance("probability", self.probability, FittedProbability, "what load_settings(path) has, or None")
        checked(self, "min_coverage", share)
        for name in ("keep_logprobs", "keep_text", "request_logprobs"):
            flag(name, getattr(self, name))
        if not isinstance(self.share_prompt, bool):
            checked(self, "share_prompt", seconds, "True, False, or the most seconds to wait")
        checked(self, "keep_candidates", whole, 0)
        if self.engine is not None and not (is_engine(self.engine) and self.engine.elsewhere):
            raise refusal("engine", self.engine, "RayEngine(...) or None")
        or_none("selection_key", self.selection_key, text, "the name of a state key or None")

    def _check_safety(self) -> None:
        if not isinstance(self.commit, str | BaseTool | Mapping) and isinstance(self.commit, Iterable):
            object.__setattr__(self, "commit", tuple(self.commit))  # a generator could be read only once
        flag("continue_after_commit", self.continue_after_commit)
        one_of("on_commit", self.on_commit, get_args(OnCommit))
        check_hand_over(self.route, self.on_commit)
        one_of("on_uncertain", self.on_uncertain, get_args(OnUncertain))
        checked(self, "max_rounds", whole)
        check_journal(self.journal)
        if self.limits.quorum is not None and self.limits.quorum > self.n:
            raise ConfigError(f"quorum is {self.limits.quorum} of n={self.n} rollouts; give at most n")
        if not all(isinstance(policy, RetryPolicy) for policy in self.retries()):
            raise ConfigError(f"retry is {repr_of(self.retry)}; give a RetryPolicy(...) of langgraph.types, or several")
        if self.continue_after_commit and self.on_commit != "execute":
            raise ConfigError('continue_after_commit=True needs the commit\'s result; set on_commit="execute" too')
        if self.promote is not None and self.environment is None:
            raise ConfigError("promote= is given, but no environment= to promote; give both")
        if self.continue_after_commit and self.environment is not None and self.promote is None:
            raise ConfigError(
                "continue_after_commit=True with environment= needs promote=: the rollouts of the next round start "
                "from the world that the winner's was promoted to"
            )

    @property
    def signals(self) -> tuple[str, ...]:
        """The per-token signals to keep: first the selector's, then those of its fallback and of the stopping plan."""
        fallback = getattr(self.selector, "on_failure", None)
        of_fallback = (*getattr(fallback, "signals", ()), *extra_signals_of(fallback))
        of_plan = () if self.stop is None else signals_of(self.stop)
        return (*self.selector.signals, *extra_signals_of(self.selector), *of_fallback, *of_plan)

    def chosen_by(self, selector: AnySelector) -> Options:
        """Return these options with another selector, for a choice in place of one that failed."""
        other = copy(self)
        object.__setattr__(other, "selector", selector)
        return other

    def retries(self) -> tuple[Any, ...]:
        """Return the retry policies as a tuple."""
        if self.retry is None or isinstance(self.retry, RetryPolicy):
            return () if self.retry is None else (self.retry,)
        return tuple(self.retry) if isinstance(self.retry, list | tuple) else (self.retry,)

    def sampling_of(self, index: int) -> dict[str, Any]:
        """Return the sampling parameters of one rollout.

        Raises:
            ConfigError: ``sampling(index)`` returned something else than a dict.
        """
        if self.sampling is None:
            return {}
        parameters = self.sampling(index)
        if not isinstance(parameters, Mapping):
            raise ConfigError(
                f"sampling({index}) returned {repr_of(parameters)}; return request parameters, such as "
                f"{{'seed': {index}}}"
            )
        return dict(parameters)
