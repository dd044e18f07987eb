"""The node in the outer graph: opens a question with the outer state, runs it, and returns the winner's writes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from ec_agent.capture.known_answers import answers_in
from ec_agent.capture.recorder import current_recorder
from ec_agent.commits.at_most_once import Once
from ec_agent.commits.declared_tools import policy_of
from ec_agent.commits.durability import warn_of_exit
from ec_agent.commits.gate import RolloutGate, current_gate
from ec_agent.commits.journal import MemoryJournal
from ec_agent.commits.saver_journal import journal_for
from ec_agent.commits.undeclared import Notices, begun_here, undeclared_listener
from ec_agent.environments.worlds import in_environment
from ec_agent.errors import CommitUncertain, ConfigError, SelectionError
from ec_agent.insides.executors import RolloutLeft, RunLeft, executors_here, interruptible
from ec_agent.insides.langgraph import (
    ROOT,
    RUNTIME,
    Channel,
    has_node,
    out_of_sight,
    outer_channels,
    question_number,
    saver_of,
    unsaved,
)
from ec_agent.insides.streams import heard
from ec_agent.numbers.call_fields import unpack_calls
from ec_agent.rollouts.choosing import final_action_of
from ec_agent.rollouts.course import last_of, parked_in, written_up_to
from ec_agent.rollouts.fanout import NEW, FanOutState, fan_out_graph, from_its_start
from ec_agent.rollouts.limits import Budget
from ec_agent.rollouts.memory import keep, memory_of, warn_of_lost_memory
from ec_agent.rollouts.messages import answers_within, rebuilt, with_id
from ec_agent.rollouts.observer import Observer, OpenedQuestion
from ec_agent.rollouts.observing import Audience, audience_of
from ec_agent.rollouts.on_workers import Workers
from ec_agent.rollouts.options import Options
from ec_agent.rollouts.parking import Parking
from ec_agent.rollouts.pausing import check_breakpoints
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import total
from ec_agent.rollouts.remote_graphs import given_in
from ec_agent.rollouts.selection import Selection
from ec_agent.rollouts.several_agents import Agents
from ec_agent.rollouts.ways import asking
from ec_agent.rollouts.writes import Writes, check_fit, joined, with_talk
from ec_agent.selectors.asking import allowed_here
from ec_agent.support.checks import whole
from ec_agent.support.plans import Plan, Step, adrive, call, drive

_NO_LIMIT = 10_000  # supersteps of the fan-out graph: enough for any question, whose rounds and rollouts are limited
_FAILED = 100  # how many questions that failed after an action are kept, for a retry policy around the node


class Node:
    """The work of ``best_of_n`` inside a graph.

    Args:
        agent: the agent, or the list of agents, as the user gave it.
        options: the options of ``best_of_n``.
        alone: whether the outer graph is that of ``as_agent()``. That graph has the agent's whole state, and a
            destination named by the winner is one of the graph around it.
        notices: warns of undeclared tools; shared with the node for which this one was made.
        workers: where rollouts run; ``None`` runs them in this process.
    """

    def __init__(
        self,
        agent: Any,
        options: Options,
        alone: bool = False,
        notices: Notices | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers
        self.agents = Agents(agent, alone)
        self.agents.check_count(options.n)
        self.agent = self.agents.first
        self.options = options
        self._policy = policy_of(options.commit, self.agents.tools.values())
        self._alone = alone
        self.notices = notices or Notices()
        self._journal = MemoryJournal()
        self._failed: dict[str, tuple[FanOutState, Parking]] = {}
        self.fan_out = fan_out_graph(self.agent)
        if options.on_commit == "execute" and self.agent.is_function:
            missing = sorted(name for name in self._policy.names if name not in self._policy.tools)
            if missing:
                raise ConfigError(
                    f"on_commit='execute' has only the names of {missing}, and a function agent has no ToolNode to "
                    "find them in; give the tools themselves: commit=[send_email]"
                )

    def plan(self, state: Any, config: RunnableConfig) -> Plan[Any]:
        """Run the rollouts, choose the winner, carry its action out, and return its writes.

        Raises:
            SelectionError: no winner can be chosen.
            CommitError: the winner's action cannot be carried out.
            RunLeft: the outer run has ended early.
        """
        executors_here().check()
        told = audience_of(OpenedQuestion(self.agents.name, self.options.selector.name, config))
        with told.around(Observer.around_question):
            return (yield from self._plan(state, config, told))

    def _plan(self, state: Any, config: RunnableConfig, told: Audience) -> Plan[Any]:
        if self.options.preflight is not False and current_recorder.get() is None:
            yield from self._preflight()
        yield allowed_here(self.options.selector)
        question = self._open(state, config, told)
        if question.root:
            for agent in self.agents.all:
                warn_of_lost_memory(agent, config)
        if question.executes and self.options.journal is not None:  # fails now, before any rollout is paid for
            yield call(self.options.journal, "read", question.key(0, 0))
        if self.workers is not None:
            yield from self.workers.open(question)
        told.tell(Observer.question_asked, question.name, question.n)
        own: RunnableConfig = {
            **out_of_sight(config),
            "max_concurrency": question.options.limits.max_concurrency or question.n,
            "recursion_limit": _NO_LIMIT + 2 * question.n,  # each wave takes two supersteps
        }
        question.heard = heard(own)
        try:
            try:
                done = yield self._asked(self._beginning(question), own, question)
            except SelectionError:
                if question.unchosen is None:  # raised by an action of the user's; a resumed run may try it again
                    raise
                if question.ran:
                    yield from question.parking.clear_all(but=question.unchosen["course"]["thread"])
                    self._remember(question)
                    raise
                # All records came from a checkpoint: they failed before this run was resumed. What made them fail may
                # be over now, so start the round anew.
                done = yield self._asked(from_its_start(question.unchosen), unsaved(own), question)
            yield from keep(question.memory, question.parking, last_of(done)["end"], config)
            yield from question.parking.clear(parked_in(done))
            for record in done["records"]:  # open environments of a killed process, so that they are closed below
                if record["index"] not in question.ran and record["token"] is not None:
                    yield from question.reopen(record["index"], record["token"])
            result = self._close(question, done, config)
            yield from told.telling(Observer.answer_written, question.known, result)
        except (CommitUncertain, GraphInterrupt):
            question.keep()  # the run may be resumed, with these environments
            raise
        except (SelectionError, RolloutLeft, RunLeft, asyncio.CancelledError):
            if (around := current_recorder.get()) is not None:
                around.adopt(question.made, counted=False)
            raise
        finally:
            yield from question.close()
        return result

    def _asked(self, state: FanOutState, config: RunnableConfig, question: Question) -> Step:
        asked = asking(self.fan_out, state, config, question)

        def ask() -> Any:
            question.executors = executors_here()
            return drive(asked)

        def sync() -> Any:
            with begun_here():
                return interruptible(ask)

        return Step(sync, lambda: adrive(asked))

    def _beginning(self, question: Question) -> FanOutState:
        """Return the state with which the question begins. A retried question goes on after the actions it has done."""
        begun, parking = self._failed.pop(question.name, (NEW, question.parking))
        if not question.parking.lasting:
            question.parking = parking
        return begun

    def _remember(self, question: Question) -> None:
        if question.unchosen["commits"]:
            self._failed[question.name] = from_its_start(question.unchosen), question.parking
            while len(self._failed) > _FAILED:
                del self._failed[next(iter(self._failed))]

    def _preflight(self) -> Plan[None]:
        from ec_agent.doctor import models_of, preflight

        asked: Any = self.options.preflight
        found = (models_of(agent.original, calls=self.options.calls) for agent in self.agents.all)
        models = list(chain(*found)) if asked is True else asked
        if not models:
            where = "" if self.options.calls is None else " whose calls count"
            raise ConfigError(
                f"preflight=True found no chat model{where} in the agent {self.agents.name!r}; name it: "
                "preflight=model, or leave preflight out"
            )
        yield from preflight(
            models if isinstance(models, list | tuple) else [models],
            min_coverage=self.options.min_coverage,
            tools=bool(self.agents.tools) or self.agent.is_function,
            request_logprobs=self.options.request_logprobs,
        )

    def _open(self, state: Any, config: RunnableConfig, told: Audience) -> Question:
        conf = config.get("configurable") or {}
        runtime: Runtime[Any] | None = conf.get(RUNTIME)
        context = runtime.context if runtime else None
        options = self.options
        n = self._count(context)
        outer = outer_channels(config)
        check_fit(self.agent, outer, options.selection_key, options.output is not None)
        # Inside a rollout of another question nothing may be carried out, since that rollout may lose.
        within = isinstance(current_gate.get(), RolloutGate)
        executes = options.on_commit == "execute" and not within
        if isinstance(gate := current_gate.get(), RolloutGate):
            gate.join(self._policy)  # tools that may not run in these rollouts may not run in the outer rollout either
        if (around := current_recorder.get()) is not None:
            around.check()  # if the outer rollout has been stopped, ask nothing more
        else:
            warn_of_exit(config, executes)
        breakpoints: dict[str, Any] = {}
        for agent in self.agents.all:
            breakpoints = check_breakpoints(agent, options, self._policy, config)
        number = question_number(config)
        name = f"{conf.get('thread_id') or ''}/{conf.get('checkpoint_ns') or ''}/{number}"
        return Question(
            name=name,
            number=number,
            config=config,
            agents=self.agents,
            options=options,
            n=n,
            known=self._known(state, outer),
            outer=outer,
            policy=self._policy,
            given=given_in(config, self._alone, self.agent.is_function),
            executes=executes,
            within=within,
            root=self._alone and "|" not in str(conf.get("checkpoint_ns") or ""),
            once=Once(journal_for(options.journal, config, self._journal), options.on_uncertain),
            parking=Parking(saver_of(config), options.keep_logprobs),
            memory=memory_of(config, self.agent, self._alone, number),
            context=context,
            store=runtime.store if runtime else None,
            told=told,
            max_concurrency=config.get("max_concurrency"),
            breakpoints=breakpoints,
            budget=Budget(options.limits.token_budget),
            notices=undeclared_listener.get() or self.notices,
            executors=executors_here(),
        )

    def _count(self, context: Any) -> int:
        """Return the number of rollouts.

        The run's context sets it only for the outermost question: for nested questions too, it would multiply.
        """
        quorum, n = self.options.limits.quorum, self.options.n
        n = _n_of(context, n) if current_recorder.get() is None else n
        self.agents.check_count(n)
        if quorum is not None and quorum > n:
            raise ConfigError(f"quorum is {quorum} of n={n} rollouts; give at most n")
        return n

    def _known(self, state: Any, outer: Mapping[str, Channel]) -> Any:
        """Return the agent's input, with ids for messages without one: each rollout would give them different ids."""
        if self._alone and not self.agent.is_function:  # a state object would add defaults that were never written
            state = {key: channel.get() for key, channel in outer.items() if channel.is_available()}
        known = self.agent.input_of(state)
        return rebuilt(known, with_id) if isinstance(known, dict) else known

    def _close(self, question: Question, done: Mapping[str, Any], config: RunnableConfig) -> Any:
        options, last = question.options, last_of(done)
        selection = _whole(question, done)
        _hand_over(question, selection, done, config)
        fleeting, goto = question.fleeting.get(last["index"], ([], list(last["goto"])))
        if options.route is not None:
            candidates = question.candidates(done["records"])
            winner = next(candidate for candidate in candidates if candidate.index == selection.winner)
            more = last["writes"] or last["end"]["kind"] == "commit"  # after a pause nothing may be left to do
            if more and not last["end"].get("carried"):
                winner = replace(winner, final_action=final_action_of(last))
            winner = replace(winner, probability=selection.probability)
            with in_environment(question.environment(selection.winner)):
                chosen = options.route(winner)
            goto = list(chosen) if isinstance(chosen, list | tuple) else [chosen]
            if not all(isinstance(step, str | Send) for step in goto):
                raise ConfigError(f"route= returned {chosen!r}; return a node's name, a Send, or a list of these")
            self._check_destinations(goto, config)
        pairs = joined([*written_up_to(done), last["end"].get("open", []), fleeting], question.outer)
        if options.output is None:
            pairs = with_talk(pairs, last["end"].get("talk"), question.known, question.outer)
        if options.selection_key is not None and ROOT not in question.outer:
            pairs.append((options.selection_key, selection.to_dict()))
        if not self._alone:
            return Writes.of(pairs, goto)
        if goto and "|" in str(config["configurable"].get("checkpoint_ns") or ""):
            return Command(graph=Command.PARENT, update=pairs, goto=goto)
        return Writes.of(pairs)

    def _check_destinations(self, goto: list[Any], config: RunnableConfig) -> None:
        if self._alone:
            return
        nowhere = [name for step in goto if not has_node(config, name := getattr(step, "node", step))]
        if nowhere:  # LangGraph would just end the run, without an error
            raise ConfigError(f"route= leads to {nowhere}, which the graph does not have; add the nodes, or use END")


def _whole(question: Question, done: Mapping[str, Any]) -> Selection:
    """Return the receipt of the last choice, with the usage and commits of all rounds and the earlier receipts."""
    earlier = tuple(Selection.from_dict(plain) for plain in done["earlier"])
    selection = question.receipt(done["selection"])
    after = [done["last"]["usage"]] if done["last"] is not None else []
    usage = total([*(each.usage for each in earlier), selection.usage, *after])
    asked = total([each.selector_usage for each in (*earlier, selection)])
    commits = tuple(done["commits"])
    return replace(selection, usage=usage, selector_usage=asked, commits=commits, earlier=earlier)


def _hand_over(question: Question, selection: Selection, done: Mapping[str, Any], config: RunnableConfig) -> None:
    chosen = question.chosen(selection, done["records"], config)
    question.told.tell(Observer.question_over, chosen)
    # For an outer rollout, only the winner's calls count as its own calls. The tokens of all were spent.
    if (around := current_recorder.get()) is not None:
        said = answers_within([done[name] for name in ("records", "last", "written")])
        around.known += [answer for _, _, answer in answers_in(said)]
        for index, trajectory in enumerate(chosen.trajectories):
            around.adopt(trajectory.calls, counted=index == selection.winner)
        around.adopt(unpack_calls(done.get("asked") or []).calls, counted=False)


def _n_of(context: Any, default: int) -> int:
    """Return ``n`` from the run's context, or the default if the context has none."""
    n = context.get("n") if isinstance(context, Mapping) else getattr(context, "n", None)
    return default if n is None else whole("the run context's n", n)
