"""Graphs by their state: schemas, channels, private keys, and values that LangGraph keeps itself."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from agents_create import WRITES_ONLY
from agents_graphs import asks
from diff_cast import Cast, lost
from diff_rows import Table, given
from langchain_core.messages import AnyMessage
from langgraph.channels import EphemeralValue, Topic, UntrackedValue
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.managed import IsLastStep, RemainingSteps
from langgraph.types import Overwrite
from pydantic import BaseModel
from typing_extensions import TypedDict

from ec_agent import Limits
from ec_agent.testing import Reply

TABLE = Table()


def counting(cast: Cast):
    return cast.model(script=lambda messages: Reply(f"~to {messages[-1].content}"))


class Asked(TypedDict):
    question: str


class Answered(TypedDict):
    answer: str


class Whole(Asked, Answered):
    drafts: Annotated[list[str], operator.add]


class Private(TypedDict):
    secret: str


QUESTIONS = [given(question="a"), given(question="b"), given(question="c")]


@TABLE.row(state=Whole, turns=QUESTIONS)
def input_and_output_schemas(cast: Cast, **compiled: Any):
    model = counting(cast)

    def draft(state: Asked) -> dict[str, Any]:
        return {"drafts": [model.invoke(state["question"]).content]}

    def answer(state: Whole) -> dict[str, Any]:
        return {"answer": f"{state['drafts'][-1]}, draft {len(state['drafts'])}"}

    builder = StateGraph(Whole, input_schema=Asked, output_schema=Answered)
    builder.add_sequence([draft, answer])
    builder.add_edge(START, "draft")
    return builder.compile(**compiled)


class Open(TypedDict):
    question: str
    answer: str


@TABLE.row(state=Open, turns=QUESTIONS)
def a_private_key_between_nodes(cast: Cast, **compiled: Any):
    model = counting(cast)

    def think(state: Open) -> Private:
        return {"secret": model.invoke(state["question"]).content}

    def tell(state: Private) -> dict[str, Any]:
        return {"answer": f"because {state['secret']}"}

    builder = StateGraph(Open)
    builder.add_sequence([think, tell])
    builder.add_edge(START, "think")
    return builder.compile(**compiled)


class Kept(TypedDict, total=False):
    question: str
    count: Annotated[int, operator.add]
    noted: list[str]


@TABLE.row(state=Open, turns=QUESTIONS)
def private_keys_over_turns(cast: Cast, **compiled: Any):
    model = counting(cast)

    def think(state: Kept) -> dict[str, Any]:
        said = model.invoke(f"{state['question']}{state.get('count', 0)}").content
        return {"count": 1, "noted": [*state.get("noted", []), said]}

    def tell(state: Kept) -> dict[str, Any]:
        return {"answer": f"{state['count']}: {state['noted']}"}

    builder = StateGraph(Open)
    builder.add_node("think", think, input_schema=Kept)
    builder.add_node("tell", tell, input_schema=Kept)
    builder.add_edge(START, "think")
    builder.add_edge("think", "tell")
    return builder.compile(**compiled)


class Form(BaseModel):
    question: str
    answers: Annotated[list[str], operator.add] = []
    score: float = 0.5


@TABLE.row(state=Form, turns=QUESTIONS, differs=WRITES_ONLY)
def a_pydantic_state(cast: Cast, **compiled: Any):
    model = counting(cast)

    def answer(state: Form) -> dict[str, Any]:
        return {"answers": [model.invoke(state.question).content], "score": state.score + len(state.answers)}

    builder = StateGraph(Form)
    builder.add_sequence([("answer", answer), ("check", lambda state: {"score": state.score * 2})])
    builder.add_edge(START, "answer")
    return builder.compile(**compiled)


@dataclass
class Sheet:
    """A state that is a dataclass."""

    question: str
    answers: Annotated[list[str], operator.add] = field(default_factory=list)
    talk: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)


@TABLE.row(state=Sheet, turns=QUESTIONS, differs=WRITES_ONLY)
def a_dataclass_state(cast: Cast, **compiled: Any):
    model = counting(cast)

    def answer(state: Sheet) -> dict[str, Any]:
        said = model.invoke(state.question)
        return {"answers": [said.content], "talk": [("human", state.question), said]}

    builder = StateGraph(Sheet)
    builder.add_sequence([("answer", answer), ("count", lambda state: {"answers": [f"{len(state.talk)} said"]})])
    builder.add_edge(START, "answer")
    return builder.compile(**compiled)


class Log(TypedDict):
    question: str
    log: Annotated[list[str], operator.add]


@TABLE.row(state=Log, turns=QUESTIONS, differs=WRITES_ONLY)
def a_reducer_that_is_overwritten(cast: Cast, **compiled: Any):
    model = counting(cast)
    builder = StateGraph(Log)
    builder.add_sequence(
        [
            ("answer", lambda state: {"log": [model.invoke(state["question"]).content]}),
            ("shorten", lambda state: {"log": Overwrite(state["log"][-2:])}),
            ("more", lambda state: {"log": [f"{len(state['log'])} left"]}),
        ]
    )
    builder.add_edge(START, "answer")
    return builder.compile(**compiled)


class ForAStep(TypedDict):
    question: str
    answer: str
    hint: Annotated[str, EphemeralValue(str)]
    bag: Annotated[Sequence[str], Topic(str)]
    heap: Annotated[Sequence[str], Topic(str, accumulate=True)]


@TABLE.row(state=ForAStep, turns=QUESTIONS, ways=["alone"])
def channels_that_live_for_a_step(cast: Cast, **compiled: Any):
    model = counting(cast)
    builder = StateGraph(ForAStep)
    first = lambda state: {"hint": model.invoke(state["question"]).content, "bag": "b", "heap": "h"}  # noqa: E731
    builder.add_sequence(
        [
            ("first", first),
            ("second", lambda s: {"answer": f"{s.get('hint')} {s.get('bag')} {s.get('heap')}", "heap": lost()}),
        ]
    )
    builder.add_edge(START, "first")
    return builder.compile(**compiled)


@TABLE.row(state=ForAStep, turns=QUESTIONS, ways=["alone"])
def channels_that_live_to_the_end(cast: Cast, **compiled: Any):
    model = counting(cast)
    builder = StateGraph(ForAStep)
    builder.add_node("only", lambda s: {"hint": "last", "bag": "b", "answer": model.invoke(s["question"]).content})
    builder.add_edge(START, "only")
    return builder.compile(**compiled)


class Handle:
    """Something that no checkpointer can keep."""

    def __init__(self, said: str) -> None:
        self.said = said

    def __repr__(self) -> str:
        return f"a handle on {self.said}"

    def __reduce__(self) -> Any:
        raise TypeError("a handle cannot be saved")


class WithHandle(TypedDict):
    question: str
    answer: str
    handle: Annotated[Handle, UntrackedValue(Handle)]


@TABLE.row(state=WithHandle, turns=QUESTIONS)
def an_untracked_value(cast: Cast, **compiled: Any):
    model = counting(cast)
    builder = StateGraph(WithHandle)
    builder.add_sequence(
        [
            ("open", lambda state: {"handle": Handle(f"{lost()}{state['question']}")}),
            ("use", lambda state: {"answer": model.invoke(state["handle"].said).content}),
        ]
    )
    builder.add_edge(START, "open")
    return builder.compile(**compiled)


class Steps(MessagesState):
    remaining: RemainingSteps
    last: IsLastStep


@TABLE.row(config={"recursion_limit": 30}, options={"limits": Limits(recursion_limit=30)})
def managed_values(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~{messages[-1].content}"))

    def tell(state: Steps) -> dict[str, Any]:
        return {"messages": [f"{state['remaining']} steps left, {'the' if state['last'] else 'not the'} last"]}

    builder = StateGraph(Steps)
    builder.add_sequence([("tell", tell), ("ask", asks(model))])
    builder.add_edge(START, "tell")
    return builder.compile(**compiled)
