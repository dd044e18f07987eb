"""What is no agent, though easily given for one: told apart before anything runs, with what to write instead."""

from __future__ import annotations

import functools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import kit
import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from ec_agent import AgentError, AllRolloutsFailedError, ConfigError, best_of_n
from ec_agent.rollouts.refused_agents import AS_UPDATE
from ec_agent.selectors import SELECTORS, MajorityVote

if TYPE_CHECKING:
    from nowhere import Agent  # names for type checkers alone


MODEL = kit.say(15, 3)
GRAPH = kit.chat(MODEL)


@tool
def look(q: str) -> str:
    """Look."""
    return q


def make_agent():
    return GRAPH


async def make_agent_soon():
    return GRAPH


@asynccontextmanager
async def opened():
    yield GRAPH


def with_config_alone(config: RunnableConfig):
    return GRAPH


def of_a_model(model=None):
    return GRAPH


def of_an_llm(llm: BaseChatModel):
    return GRAPH


def of_a_task(task, model=None):
    return GRAPH


def annotated(name) -> CompiledStateGraph[Any, Any, Any, Any]:
    return GRAPH


def unfinished(name="clerk") -> StateGraph:
    return StateGraph(MessagesState)


def runnable_of(state) -> Runnable[Any, Any]:
    return GRAPH


def of_two(prompt, tools):
    return GRAPH


class Factory:
    def __call__(self) -> Any:
        return GRAPH

    def build(self) -> Any:
        return GRAPH


MAKERS = {
    "without parameters": make_agent,
    "async": make_agent_soon,
    "context manager": opened,
    "lambda": lambda: GRAPH,
    "of a config": with_config_alone,
    "of a model": of_a_model,
    "of an llm": of_an_llm,
    "of task and model": of_a_task,
    "of two": of_two,
    "annotated": annotated,
    "not compiled": unfinished,
    "a runnable": runnable_of,
    "partial": functools.partial(of_two, "be nice", []),
    "partial, annotated": functools.partial(annotated),
    "object": Factory(),
    "method": Factory().build,
    "in a Runnable": RunnableLambda(lambda: GRAPH),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_a_function_that_makes_an_agent(maker):
    with pytest.raises(AgentError, match=r"makes an agent.*pass what it makes: best_of_n\("):
        best_of_n(maker)


def test_the_maker_function_is_named():
    with pytest.raises(AgentError, match=r"make_agent takes nothing.*best_of_n\(make_agent\(\)\)"):
        best_of_n(make_agent)
    for maker in (make_agent_soon, functools.partial(make_agent_soon), RunnableLambda(make_agent_soon)):
        with pytest.raises(AgentError, match=r"pass what it makes: best_of_n\(await \w+\("):
            best_of_n(maker)
    with pytest.raises(AgentError, match=r"best_of_n\(graph\)"):
        best_of_n(lambda: GRAPH)


def decorated(function):
    @functools.wraps(function)
    def around(state):
        return {"messages": [function()]}

    return around


@decorated
def says_it_without_a_state():
    return MODEL.invoke("?")


def everything_injected(state, config: RunnableConfig, *, runtime: Runtime, store=None, writer=None):
    return {"messages": [MODEL.invoke("?", config)]}


def elsewhere(state) -> Agent:
    return {"messages": [MODEL.invoke("?")]}


def any_arguments(*args, **kwargs):
    return {"messages": [MODEL.invoke("?")]}


class Clerk:
    def __call__(self, state: MessagesState) -> dict[str, Any]:
        return {"messages": [MODEL.invoke("?")]}

    def task(self, task):
        return {"messages": [MODEL.invoke("?")]}


AGENTS = {
    "decorated": says_it_without_a_state,
    "injected": everything_injected,
    "names nobody has": elsewhere,
    "any arguments": any_arguments,
    "object": Clerk(),
    "a state called task": Clerk().task,
    "default": lambda state=None, extra=1: {"messages": [MODEL.invoke("?")]},
    "prompt and model": ChatPromptTemplate([("user", "{messages}")]) | MODEL | (lambda m: {"messages": [m]}),
    "in a Runnable": RunnableLambda(lambda state: {"messages": [MODEL.invoke("?")]}),
}


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_functions_that_are_agents_are_taken(run, agent):
    done = run.invoke(kit.outer(best_of_n(agent, n=2)), {"messages": "go"})
    assert kit.answers(done["messages"]) == ["answer 1"]


@pytest.mark.parametrize("maker", [lambda state: GRAPH, lambda state: MODEL, lambda s: StateGraph(MessagesState)])
def test_a_hidden_maker_is_seen_after_running(run, maker):
    with pytest.raises(AllRolloutsFailedError, match=r"makes an agent rather than being one.*best_of_n\(make_agent\("):
        run.run(best_of_n(maker, n=2), {"messages": "go"})
    with pytest.raises(AllRolloutsFailedError, match="makes an agent"):
        run.invoke(kit.outer(best_of_n(maker, n=2)), {"messages": "go"})


MODELS = {
    "plain": MODEL,
    "bound": MODEL.bind(temperature=1),
    "with config": MODEL.with_config(tags=["x"]),
    "retried": MODEL.with_retry(),
    "with fallbacks": MODEL.with_fallbacks([MODEL]),
    "configurable": MODEL.configurable_alternatives(ConfigurableField("which"), default_key="a", b=MODEL),
    "with a parser": MODEL | (lambda message: message.content),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_chat_model(model):
    with pytest.raises(AgentError, match=r"the agent is a model \(ScriptedChatModel\).*create_agent\(model, tools\)"):
        best_of_n(model)


def test_the_advice_for_a_chat_model_works(run):
    advised = lambda state: {"messages": [MODEL.invoke(state["messages"])]}  # noqa: E731
    assert kit.answers(run.invoke(kit.outer(best_of_n(advised, n=2)), {"messages": "go"})["messages"]) == ["answer 1"]


PROMPT = ChatPromptTemplate([("placeholder", "{messages}")])
MESSAGE_MAKERS = {
    "plain": PROMPT | MODEL,
    "bound": PROMPT | MODEL.bind(temperature=1),
    "retried": (PROMPT | MODEL).with_retry(),
    "with fallbacks": (PROMPT | MODEL.with_fallbacks([MODEL])).with_config(tags=["x"]),
    "text": PROMPT | MODEL | StrOutputParser(),
}


@pytest.mark.parametrize("maker", MESSAGE_MAKERS.values(), ids=MESSAGE_MAKERS)
def test_a_sequence_ending_in_a_model_is_refused(run, maker):
    with pytest.raises(AgentError, match=r"ends in \w+: it returns .*\[\(prompt \| model\)\.invoke\(state\)\]"):
        run.invoke(kit.outer(best_of_n(maker, n=2)), {"messages": "go"})
    run.run(best_of_n(maker, n=2), {"messages": [("user", "go")]})  # alone, what it returns is the output
    mapped = best_of_n(maker, n=2, output=lambda said: {"messages": [("ai", getattr(said, "content", said))]})
    assert kit.answers(run.invoke(kit.outer(mapped), {"messages": "go"})["messages"]) == ["answer 1"]


def test_the_advice_for_a_prompt_and_model_works(run):
    advised = eval(AS_UPDATE, {"best_of_n": functools.partial(best_of_n, n=2), "prompt": PROMPT, "model": MODEL})
    assert kit.answers(run.invoke(kit.outer(advised), {"messages": "go"})["messages"]) == ["answer 1"]


@pytest.mark.parametrize(
    "agent",
    [lambda state: (PROMPT | MODEL).invoke(state), RunnableLambda(lambda s: MODEL.invoke("?").content)],
    ids=["message", "text"],
)
def test_a_message_in_place_of_an_update(run, agent):
    with pytest.raises(AllRolloutsFailedError) as caught:
        run.invoke(kit.outer(best_of_n(agent, n=2)), {"messages": "go"})
    assert "not a state update; return a dict of state keys" in str(caught.value)
    assert AS_UPDATE in str(caught.value)


def test_a_tool():
    with pytest.raises(AgentError, match=r"the agent is the tool 'look'.*create_agent\(model, \[look\]\)"):
        best_of_n(look)


SEVERAL = {"a set": {GRAPH}, "a frozen set": frozenset([GRAPH]), "a list in a list": [GRAPH, [GRAPH]]}


@pytest.mark.parametrize("agents", SEVERAL.values(), ids=SEVERAL)
def test_several_agents_are_one_list(agents):
    with pytest.raises(
        AgentError, match=r"an agent is a (list|frozenset|set) of 1; .* are one list.*best_of_n\(\[a, b\]\)"
    ):
        best_of_n(agents)


@pytest.mark.parametrize("agent", [CompiledStateGraph, Clerk, type(MODEL)])
def test_a_class(agent):
    with pytest.raises(AgentError, match=f"the agent is the class {agent.__name__}; pass an object made from it"):
        best_of_n(agent)


def test_a_graph_that_is_not_compiled():
    with pytest.raises(AgentError, match=r"not compiled; pass builder\.compile\(\)"):
        best_of_n(StateGraph(MessagesState))


@pytest.mark.parametrize("label", list(SELECTORS))
def test_a_selector_by_its_name(label):
    kind = SELECTORS[label].__name__
    for name in (label, kind, label.replace("_", "-").upper()):
        with pytest.raises(
            ConfigError, match=rf"not its name: selector={kind}\(\), after `from ec_agent\.selectors import {kind}`"
        ):
            best_of_n(GRAPH, selector=name)


def test_a_selector_nobody_knows_or_misspelt():
    with pytest.raises(ConfigError, match=r"selector=MajorityVote\(\)"):
        best_of_n(GRAPH, selector="majority")
    with pytest.raises(ConfigError, match=r"not its name: one of LowestCentroid\(\), .*MostCalls\(\)"):
        best_of_n(GRAPH, selector="zzz")
    with pytest.raises(ConfigError, match=r"give an object: MajorityVote\(\), not the class"):
        best_of_n(GRAPH, selector=MajorityVote)


def test_langchains_agents_are_accepted():
    assert best_of_n(create_agent(MODEL, [look]))
