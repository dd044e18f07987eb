"""One model and one client for sixteen rollouts at once, used in every way at random: whose call is whose, in order."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from contextvars import copy_context

import pytest
from asking import timelines
from fake_openai import MODEL, Answer, prompt_of
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langgraph.graph import MessagesState, StateGraph

from ec_agent import best_of_n, record_calls

ROLLOUTS, STEPS = 16, 5
pytestmark = [
    pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning"),
    pytest.mark.filterwarnings("ignore:Unexpected type for token usage"),
]


def told_apart(prompt):
    """Entropies by which a prompt's answer is known: ``7.23`` is rollout 7's 23rd."""
    rollout, number = prompt.split(".")
    return [round(int(rollout) / 10 + int(number) / 1000 + 0.001, 6)] * (1 + int(number) % 3)


class Script:
    """What one rollout does, and what its record must be: groups of calls, in any order within each."""

    def __init__(self, number, model, client):
        self.number, self.model, self.client = number, model, client
        self.dice = random.Random(number)
        self.prompts = (f"{number}.{k}" for k in itertools.count())
        self.expected = []

    def some(self, count=1):
        prompts = [next(self.prompts) for _ in range(count)]
        self.expected.append(sorted(map(told_apart, prompts)))
        return prompts

    def raw(self, prompt, **kwargs):
        messages = [{"role": "user", "content": prompt}]
        return self.client.chat.completions.create(model=MODEL, messages=messages, **kwargs)

    def check(self, lines, groups):
        left = iter(lines)
        parts = [sorted(itertools.islice(left, len(group))) for group in groups]
        assert (parts, list(left)) == (groups, [])

    def ways(self):
        def threads():
            run = [threading.Thread(target=copy_context().run, args=(self.raw, p)) for p in self.some(2)]
            for thread in run:
                thread.start()
            for thread in run:
                thread.join()

        def beside():
            outer, inner = self.some(), self.some()
            for place, _ in enumerate(self.model.stream(outer[0])):
                if place == 1:
                    self.raw(inner[0])

        return [
            lambda: self.model.invoke(*self.some()),
            lambda: list(self.model.stream(*self.some())),
            lambda: self.raw(*self.some()),
            lambda: list(self.raw(*self.some(), stream=True)),
            lambda: self.model.batch(self.some(3)),
            lambda: list(self.model.batch_as_completed(self.some(3))),
            lambda: self.model.generate([[HumanMessage(prompt)] for prompt in self.some(2)]),
            lambda: RunnableParallel({p: RunnableLambda(lambda _, p=p: self.raw(p)) for p in self.some(2)}).invoke(0),
            threads,
            beside,
        ]

    def aways(self):
        async def drained(prompt):
            return [chunk async for chunk in await self.raw(prompt, stream=True)]

        async def streamed(prompt):
            return [chunk async for chunk in self.model.astream(prompt)]

        async def beside():
            outer, inner = self.some(), self.some()
            place = 0
            async for _ in self.model.astream(outer[0]):
                place += 1
                if place == 2:
                    await self.raw(inner[0])

        return [
            lambda: self.model.ainvoke(*self.some()),
            lambda: streamed(*self.some()),
            lambda: self.raw(*self.some()),
            lambda: drained(*self.some()),
            lambda: self.model.abatch(self.some(3)),
            lambda: self.model.agenerate([[HumanMessage(prompt)] for prompt in self.some(2)]),
            lambda: asyncio.gather(
                *(ask(p) for ask, p in zip(2 * [self.model.ainvoke, self.raw], self.some(4), strict=True))
            ),
            lambda: asyncio.to_thread(self.model.invoke, *self.some()),
            beside,
        ]

    def run(self):
        for way in self.dice.choices(self.ways(), k=STEPS):
            before = len(self.expected)
            with record_calls() as recorder:
                way()
            self.check(timelines(recorder), self.expected[before:])

    async def arun(self):
        for way in self.dice.choices(self.aways(), k=STEPS):
            before = len(self.expected)
            with record_calls() as recorder:
                await way()
            self.check(timelines(recorder), self.expected[before:])


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_each_rollout_has_its_calls_once_in_order(fake, chat_model, client, aclient, mode):
    fake.otherwise = lambda body: Answer(told_apart(prompt_of(body)), delay=random.random() / 100)
    model = chat_model(logprobs=None, top_logprobs=None, stream_usage=True)
    scripts = [Script(number, model, client if mode == "sync" else aclient) for number in range(ROLLOUTS)]
    left = iter(scripts)

    def node(state):
        (script := next(left)).run()
        return {"messages": [AIMessage(str(script.number))]}

    async def anode(state):
        await (script := next(left)).arun()
        return {"messages": [AIMessage(str(script.number))]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node if mode == "sync" else anode)
    builder.set_entry_point("node")
    better, question = best_of_n(builder.compile(), n=ROLLOUTS, request_logprobs=True), {"messages": [("user", "x")]}
    result = better.run(question) if mode == "sync" else await better.arun(question)
    fake.otherwise = Answer()
    assert [candidate.error for candidate in result.selection.candidates] == [None] * ROLLOUTS
    for action, trajectory in zip(result.final_actions, result.trajectories, strict=True):
        script = scripts[int(action.content)]
        lines = [[round(float(h), 6) for h in call.entropies] for call in trajectory.calls]
        script.check(lines, script.expected)
