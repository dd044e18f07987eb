"""``create_agent`` with each middleware that comes with LangChain."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from agents_create import FAILS, NOTES, WRITES_ONLY, add, note
from diff_cast import Cast, rollout_index
from diff_rows import Table, said
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    FilesystemFileSearchMiddleware,
    HumanInTheLoopMiddleware,
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRefusalMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
    ToolErrorMiddleware,
    ToolRetryMiddleware,
)
from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware
from langchain_core.tools import tool
from langgraph.graph import MessagesState

from ec_agent.testing import Reply

TABLE = Table()
ANSWER = Reply("answer to {q}")
ASKING = {"alone": ["half a turn is not in the state while it asks"]}


@TABLE.row(differs=WRITES_ONLY)
def summarization(cast: Cast, **compiled: Any):
    summary = cast.model(script=lambda messages: Reply("so far ~"), name="summarizer")
    shorter = SummarizationMiddleware(summary, trigger=("messages", 4), keep=("messages", 1))
    return create_agent(cast.model(script=lambda messages: ANSWER), [], middleware=[shorter], **compiled)


APPROVE = {"decisions": [{"type": "approve"}]}
EDIT = {"decisions": [{"type": "edit", "edited_action": {"name": "note", "args": {"text": "edited"}}}]}
REJECT = {"decisions": [{"type": "reject", "message": "no"}]}


@TABLE.row(turns=[said("one", APPROVE), said("two", EDIT), said("three", REJECT)], differs=ASKING)
def human_in_the_loop(cast: Cast, **compiled: Any):
    ask = HumanInTheLoopMiddleware(interrupt_on={"note": True})
    return create_agent(cast.model(*NOTES), [note], middleware=[ask], **compiled)


TWO_OF_THREE = {"decisions": [{"type": "approve"}, {"type": "reject", "message": "no"}]}


@TABLE.row(turns=[said("one", TWO_OF_THREE), said("two", TWO_OF_THREE)], differs=ASKING)
def human_in_the_loop_over_several_calls(cast: Cast, **compiled: Any):
    calls = [("note", {"text": "~b"}), ("add", {"a": 1, "b": 2}), ("note", {"text": "~a"})]
    ask = HumanInTheLoopMiddleware(interrupt_on={"note": {"allowed_decisions": ["approve", "reject"]}})
    return create_agent(cast.model(Reply(tool_calls=calls), Reply("done")), [note, add], middleware=[ask], **compiled)


@TABLE.row()
def model_call_limit_of_a_run(cast: Cast, **compiled: Any):
    limit = ModelCallLimitMiddleware(run_limit=1, exit_behavior="end")
    return create_agent(cast.model(*NOTES), [note], middleware=[limit], **compiled)


@TABLE.row(ways=["alone"])
def model_call_limit_of_a_thread(cast: Cast, **compiled: Any):
    limit = ModelCallLimitMiddleware(thread_limit=2, exit_behavior="end")
    return create_agent(cast.model(ANSWER), [], middleware=[limit], **compiled)


@TABLE.row(turns=[said("one")], differs=FAILS)
def model_call_limit_that_raises(cast: Cast, **compiled: Any):
    limit = ModelCallLimitMiddleware(run_limit=1, exit_behavior="error")
    return create_agent(cast.model(*NOTES), [note], middleware=[limit], **compiled)


@TABLE.row()
def tool_call_limit(cast: Cast, **compiled: Any):
    limit = ToolCallLimitMiddleware(tool_name="note", run_limit=1)
    twice = [("note", {"text": "~a"}), ("note", {"text": "~b"}), ("add", {"a": 1, "b": 1})]
    return create_agent(cast.model(Reply(tool_calls=twice), Reply("done")), [note, add], middleware=[limit], **compiled)


def flaky(fails: int, error: type[Exception] = ValueError) -> Any:
    """A tool that fails a number of times in each rollout, and after each question anew."""
    calls: dict[Any, int] = {}

    @tool
    def shaky(text: str) -> str:
        """Work sometimes."""
        calls[rollout_index()] = calls.get(rollout_index(), 0) + 1
        if calls[rollout_index()] % (fails + 1):
            raise error("try again")
        return f"worked on {text}"

    return shaky


SHAKY = (Reply(tool_calls=[("shaky", {"text": "~{q}"})]), Reply("done"))


@TABLE.row()
def tool_retry(cast: Cast, **compiled: Any):
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False)
    return create_agent(cast.model(*SHAKY), [flaky(2)], middleware=[retry], **compiled)


@TABLE.row()
def tool_retry_in_vain(cast: Cast, **compiled: Any):
    retry = ToolRetryMiddleware(max_retries=1, initial_delay=0.0, jitter=False, on_failure="continue")
    return create_agent(cast.model(*SHAKY), [flaky(9)], middleware=[retry], **compiled)


@TABLE.row()
def tool_errors_told(cast: Cast, **compiled: Any):
    told = ToolErrorMiddleware(lambda error, request: f"{request.tool_call['name']}: {error}")
    return create_agent(cast.model(*SHAKY), [flaky(9)], middleware=[told], **compiled)


@TABLE.row()
def model_retry(cast: Cast, **compiled: Any):
    tried: dict[Any, int] = {}

    def script(messages: Any) -> Reply:
        index = rollout_index()
        tried[index] = tried.get(index, 0) + 1
        return ANSWER if tried[index] % 2 == 0 else Reply(error=ConnectionError("busy"))

    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False)
    return create_agent(cast.model(script=script), [], middleware=[retry], **compiled)


@TABLE.row()
def model_fallback(cast: Cast, **compiled: Any):
    down = cast.model(Reply(error=ConnectionError("down")), name="first")
    fall = ModelFallbackMiddleware(cast.model(ANSWER, name="second"))
    return create_agent(down, [], middleware=[fall], **compiled)


@TABLE.row()
def model_refusal(cast: Cast, **compiled: Any):
    return create_agent(cast.model(ANSWER), [], middleware=[ModelRefusalMiddleware()], **compiled)


@TABLE.row(turns=[said(f"mail a{i}@example.org") for i in range(3)])
def personal_data_left_out(cast: Cast, **compiled: Any):
    out = [PIIMiddleware("email", strategy="redact"), PIIMiddleware("ip", strategy="mask", apply_to_output=True)]
    return create_agent(cast.model(Reply("~{q} of 10.0.0.1")), [], middleware=out, **compiled)


class Todos(MessagesState):
    todos: list[Any]


@TABLE.row(state=Todos)
def todo_list(cast: Cast, **compiled: Any):
    todo = [{"content": "~{q}", "status": "in_progress"}, {"content": "rest", "status": "pending"}]
    steps = (Reply(tool_calls=[("write_todos", {"todos": todo})]), Reply("planned"))
    return create_agent(cast.model(*steps), [], middleware=[TodoListMiddleware()], **compiled)


@TABLE.row()
def context_editing(cast: Cast, **compiled: Any):
    edit = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=20, keep=1)])
    return create_agent(cast.model(*NOTES), [note], middleware=[edit], **compiled)


@TABLE.row()
def tools_chosen_by_a_model(cast: Cast, **compiled: Any):
    chosen = Reply(tool_calls=[("ToolSelectionResponse", {"tools": ["note"]})])
    choose = LLMToolSelectorMiddleware(model=cast.model(script=lambda _: chosen, name="chooser"), max_tools=1)
    return create_agent(cast.model(*NOTES), [note, add], middleware=[choose], **compiled)


@TABLE.row()
def tools_played_by_a_model(cast: Cast, **compiled: Any):
    player = cast.model(script=lambda _: Reply("as if noted ~"), name="player")
    return create_agent(
        cast.model(*NOTES), [note], middleware=[LLMToolEmulator(tools=["note"], model=player)], **compiled
    )


@TABLE.row()
def caching_for_anthropic(cast: Cast, **compiled: Any):
    cache = AnthropicPromptCachingMiddleware(unsupported_model_behavior="ignore")
    return create_agent(cast.model(*NOTES), [note], middleware=[cache], **compiled)


@TABLE.row()
def searching_files(cast: Cast, **compiled: Any):
    root = Path(tempfile.mkdtemp())
    (root / "a.txt").write_text("needle\n")
    search = FilesystemFileSearchMiddleware(root_path=str(root), use_ripgrep=False)
    steps = (
        Reply(tool_calls=[("glob_search", {"pattern": "*.txt"}), ("grep_search", {"pattern": "needle"})]),
        Reply("found"),
    )
    return create_agent(cast.model(*steps), [], middleware=[search], **compiled)


@TABLE.row()
def several_at_once(cast: Cast, **compiled: Any):
    down = cast.model(Reply(error=ConnectionError("down")), Reply(error=ConnectionError("down")), name="first")
    together = [
        PIIMiddleware("email", strategy="redact"),
        ModelCallLimitMiddleware(run_limit=5),
        ToolCallLimitMiddleware(run_limit=5),
        TodoListMiddleware(),
        ModelFallbackMiddleware(cast.model(*NOTES, name="second")),
        ToolRetryMiddleware(max_retries=1, initial_delay=0.0),
    ]
    return create_agent(down, [note], middleware=together, **compiled)
