"""``create_agent``: tools, structured output, state, context, and what prompts are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from diff_cast import Cast
from diff_rows import Table, said
from langchain.agents import AgentState, create_agent
from langchain.agents.middleware import AgentMiddleware, after_model, before_model, dynamic_prompt, hook_config
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain.tools import InjectedState, InjectedStore, ToolRuntime
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import MessagesState
from langgraph.prebuilt import create_react_agent
from langgraph.types import Command
from pydantic import BaseModel

from ec_agent.testing import Reply

TABLE = Table()
WRITES_ONLY = {"node": ["a node gives its writes, not its whole state"]}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def note(text: str) -> str:
    """Write something down."""
    return f"noted {text}"


@tool(return_direct=True)
def final_word(text: str) -> str:
    """Say the last word."""
    return f"last: {text}"


NOTES = (Reply(tool_calls=[("note", {"text": "~{q}"})]), Reply("done with {q}"))


@TABLE.row()
def plain(cast: Cast, **compiled: Any):
    return create_agent(cast.model(Reply("answer to {q}")), [], system_prompt="Be brief.", **compiled)


@TABLE.row()
def one_tool(cast: Cast, **compiled: Any):
    return create_agent(cast.model(*NOTES), [note], **compiled)


@TABLE.row()
def parallel_tools(cast: Cast, **compiled: Any):
    calls = [("note", {"text": "~b {q}"}), ("add", {"a": 1, "b": 2}), ("note", {"text": "~a {q}"})]
    return create_agent(cast.model(Reply("three", tool_calls=calls), Reply("done")), [add, note], **compiled)


@TABLE.row()
def several_steps(cast: Cast, **compiled: Any):
    steps = [Reply(f"step {i}", tool_calls=[("add", {"a": i, "b": i})]) for i in range(3)]
    return create_agent(cast.model(*steps, Reply("{q}: 4")), [add], **compiled)


@TABLE.row()
def return_direct(cast: Cast, **compiled: Any):
    return create_agent(cast.model(Reply(tool_calls=[("final_word", {"text": "~{q}"})])), [final_word], **compiled)


FAILS = {"alone": ["the error of a failed run", "a failed run leaves its input alone"]}
FAILS["node"] = FAILS["alone"][:1]


@TABLE.row(turns=[said("one")], differs=FAILS)
def a_tool_that_raises(cast: Cast, **compiled: Any):
    @tool
    def broken(text: str) -> str:
        """Fail."""
        raise ValueError("out of order")

    return create_agent(cast.model(Reply(tool_calls=[("broken", {"text": "~"})])), [broken], **compiled)


class Weather(BaseModel):
    """A forecast."""

    place: str
    degrees: int


class Forecast(MessagesState):
    structured_response: Any


@TABLE.row(state=Forecast)
def structured_by_a_tool(cast: Cast, **compiled: Any):
    found = Reply(tool_calls=[("Weather", {"place": "~{q}", "degrees": 20})])
    return create_agent(cast.model(*NOTES[:1], found), [note], response_format=ToolStrategy(Weather), **compiled)


@TABLE.row(state=Forecast)
def structured_by_the_provider(cast: Cast, **compiled: Any):
    found = Reply('{"place": "~{q}", "degrees": 20}')
    return create_agent(cast.model(found), [], response_format=ProviderStrategy(Weather), **compiled)


@TABLE.row(state=Forecast)
def structured_after_a_mistake(cast: Cast, **compiled: Any):
    wrong = Reply(tool_calls=[("Weather", {"place": "~{q}", "degrees": "warm"})])
    right = Reply(tool_calls=[("Weather", {"place": "~{q}", "degrees": 20})])
    return create_agent(cast.model(wrong, right), [], response_format=ToolStrategy(Weather), **compiled)


class Counted(AgentState):
    count: int
    seen: Annotated[list[str], lambda old, new: old + new]


class OuterCounted(MessagesState):
    count: int
    seen: Annotated[list[str], lambda old, new: old + new]


@tool
def count(
    text: str, state: Annotated[dict, InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]
) -> Command:
    """Count what was said."""
    said = ToolMessage(f"heard {text}", tool_call_id=tool_call_id)
    return Command(update={"messages": [said], "count": state.get("count", 0) + 1, "seen": [text]})


@TABLE.row(state=OuterCounted, differs=WRITES_ONLY)
def tools_that_return_commands(cast: Cast, **compiled: Any):
    both = [("count", {"text": "~b"}), ("note", {"text": "~"})]
    steps = (Reply(tool_calls=[("count", {"text": "~a"})]), Reply(tool_calls=both), Reply("counted"))
    return create_agent(cast.model(*steps), [count, note], state_schema=Counted, **compiled)


@TABLE.row(store=True)
def injected_state_store_and_runtime(cast: Cast, **compiled: Any):
    @tool
    def remember(text: str, store: Annotated[Any, InjectedStore], state: Annotated[dict, InjectedState]) -> str:
        """Remember."""
        store.put(("notes",), text, {"after": len(state["messages"])})
        return f"{len(store.search(('notes',)))} notes"

    @tool
    def recall(runtime: ToolRuntime) -> str:
        """Recall."""
        found = runtime.store.search(("notes",))
        return f"{sorted(item.key for item in found)} after {len(runtime.state['messages'])} messages"

    steps = (Reply(tool_calls=[("remember", {"text": "~{q}"})]), Reply(tool_calls=[("recall", {})]), Reply("done"))
    return create_agent(cast.model(*steps), [remember, recall], **compiled)


@dataclass
class User:
    """Who asks."""

    name: str


@TABLE.row(context=User("Ada"))
def a_prompt_from_the_context(cast: Cast, **compiled: Any):
    @dynamic_prompt
    def greet(request: Any) -> str:
        return f"You serve {request.runtime.context.name}; {len(request.messages)} messages so far."

    @tool
    def who(runtime: ToolRuntime[User]) -> str:
        """Say who asks."""
        return runtime.context.name

    steps = (Reply(tool_calls=[("who", {})]), Reply("hello"))
    return create_agent(cast.model(*steps), [who], middleware=[greet], context_schema=User, **compiled)


@TABLE.row(state=OuterCounted, differs=WRITES_ONLY)
def hooks_that_write_and_jump(cast: Cast, **compiled: Any):
    @before_model(state_schema=Counted)
    def counting(state: Any, runtime: Any) -> dict[str, Any]:
        return {"count": state.get("count", 0) + 1, "seen": [f"before {len(state['messages'])}"]}

    @after_model
    @hook_config(can_jump_to=["model"])
    def again(state: Any, runtime: Any) -> dict[str, Any] | None:
        return {"jump_to": "model"} if state["messages"][-1].text.endswith("first") else None

    steps = (Reply("first"), Reply("second"))
    return create_agent(cast.model(*steps), [], middleware=[counting, again], **compiled)


@TABLE.row()
def a_hook_that_answers_for_the_model(cast: Cast, **compiled: Any):
    class Guard(AgentMiddleware):
        @hook_config(can_jump_to=["end"])
        def before_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
            if state["messages"][-1].text != "two":
                return None
            return {"messages": [AIMessage("not about that")], "jump_to": "end"}

        def after_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
            return {"messages": [AIMessage(f"after {len(state['messages'])} messages")]}

    return create_agent(cast.model(Reply("answer to {q}")), [], middleware=[Guard()], **compiled)


@TABLE.row()
def react_agent_of_langgraph(cast: Cast, **compiled: Any):
    return create_react_agent(cast.model(*NOTES), [note], prompt="Be brief.", **compiled)


@TABLE.row(state=Forecast)
def react_agent_with_hooks_and_a_form(cast: Cast, **compiled: Any):
    def trim(state: Any) -> dict[str, Any]:
        return {"llm_input_messages": state["messages"][-3:]}

    def after(state: Any) -> dict[str, Any]:
        return {"messages": []}

    found = Reply(tool_calls=[("Weather", {"place": "~{q}", "degrees": 20})])

    def script(messages: Any) -> Reply:
        """Note, answer, and put it into the form."""
        return {"tool": NOTES[1], "ai": found}.get(messages[-1].type, NOTES[0])

    model = cast.model(script=script)
    hooks = {"pre_model_hook": trim, "post_model_hook": after}
    return create_react_agent(model, [note], response_format=Weather, version="v2", **hooks, **compiled)
