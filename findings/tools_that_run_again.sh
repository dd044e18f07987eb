#!/usr/bin/env bash
# Guess: of two tools called by one message one has run and the other asks. Once that is answered, both run again,
#   since a node is run from its beginning, whether the tools run in create_agent or in a graph of one's own with
#   the same ToolNode.
# So it is: in create_agent only the tool that asked runs again, as each call is a task of its own there; in a graph
#   with an edge to the ToolNode the tool that was done runs a second time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  langchain==1.5.2 \
  langgraph==1.2.24 \
  langgraph-checkpoint==4.3.2 \
  langgraph-prebuilt==1.1.3 \
  langgraph-sdk==0.4.14 \
  langchain-core==1.8.3
unset LANGGRAPH_DEFAULT_RECURSION_LIMIT
export LANGSMITH_TRACING=false
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import sys
from importlib.metadata import version

packages = "langchain langgraph langgraph-checkpoint langgraph-prebuilt langgraph-sdk langchain-core"
print("Version:", ", ".join(f"{name} {version(name)}" for name in packages.split()))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

ran = []


@tool
def send(to: str) -> str:
    """Send."""
    ran.append("send")
    return "sent"


@tool
def ask(what: str) -> str:
    """Ask."""
    ran.append("ask")
    return interrupt(what)


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **kwargs):
        return self


def both():
    return AIMessage(
        "",
        tool_calls=[
            {"name": "send", "args": {"to": "x"}, "id": "1"},
            {"name": "ask", "args": {"what": "?"}, "id": "2"},
        ],
    )


def runs(graph, messages):
    ran.clear()
    config = {"configurable": {"thread_id": "1"}}
    graph.invoke({"messages": messages}, config)
    graph.invoke(Command(resume="yes"), config)
    return sorted(ran)


model = Model(messages=iter([both(), AIMessage("done")]))
agent = create_agent(model, [send, ask], checkpointer=InMemorySaver())
of_agent = runs(agent, [("user", "go")])
seen("create_agent", of_agent, is_now=of_agent == ["ask", "ask", "send"])

builder = StateGraph(MessagesState)
builder.add_node("tools", ToolNode([send, ask]))
builder.add_edge(START, "tools")
of_graph = runs(builder.compile(checkpointer=InMemorySaver()), [both()])
seen("a graph with the ToolNode", of_graph, is_now=of_graph == ["ask", "ask", "send", "send"])
PYTHON
