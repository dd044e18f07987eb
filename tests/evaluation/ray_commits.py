"""Questions on Ray whose winners act: a letter is sent, a sum is paid, and the question goes on after each.

    python tests/evaluation/ray_commits.py ADDRESS FOLDER COUNT

asks as many, one after the other, each in a thread of a checkpointer in the folder. Killed and run again, it goes on
where it was. What rollouts and tools do is noted in the folder's log, by whichever process does it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import warnings
from pathlib import Path

from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from ec_agent import CommitUncertain, best_of_n
from ec_agent.capture.recorder import current_recorder
from ec_agent.engines import RayEngine
from ec_agent.testing import Reply, ScriptedChatModel

ACTS = ("send 0", "pay 1")
"""What is done in each question, once: what, and by which rollout. Another one wins each time."""

_PEAKS = ((3, 9, 15), (15, 3, 9), (9, 15, 3))  # by stretch and rollout


def note(log, *words):
    """Append a line, whole, whatever happens next."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{' '.join(map(str, words))}\n".encode())
    os.close(handle)


@tool
async def send(log: str, question: str, rollout: int) -> str:
    """Send a letter."""
    return await _acted(log, question, f"send {rollout}")


@tool
async def pay(log: str, question: str, rollout: int) -> str:
    """Pay."""
    return await _acted(log, question, f"pay {rollout}")


async def _acted(log, question, what):
    note(log, "did", question, what)
    await asyncio.sleep(0.1)  # who is killed now has acted, and nobody knows
    return f"{what} is done"


def agent():
    """Make an agent that sends, pays and answers."""

    def script(messages, rollout):
        asked, stretch = json.loads(messages[0].content), _stretch(messages)
        name = ("send", "pay", "")[stretch]
        return Reply(
            "" if name else f"answer {rollout}",
            tool_calls=[(name, {**asked, "rollout": rollout})] if name else [],
            entropies=[2.0 if place == _PEAKS[stretch][rollout] else 0.1 for place in range(20)],
        )

    model = ScriptedChatModel(script)

    async def ask(state):
        asked = json.loads(state["messages"][0].content)
        where = _node(), os.getpid()
        note(asked["log"], "call", asked["question"], current_recorder.get().index, _stretch(state["messages"]), *where)
        await asyncio.sleep(0.3)
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_node("tools", ToolNode([send, pay]))
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", tools_condition)
    builder.add_edge("tools", "ask")
    return builder.compile()


def _stretch(messages):
    return sum(isinstance(message, ToolMessage) for message in messages)


def _node():
    import ray

    return ray.get_runtime_context().get_node_id()


async def ask_all(address, home, count):
    """Ask what is not answered yet."""
    log = str(home / "log")
    engine = RayEngine(address=address, workers=2, per_worker=2, num_cpus=2, tries=12, wait=300)
    commits = {"commit": ["send", "pay"], "on_commit": "execute", "continue_after_commit": True}
    node = best_of_n("ray_commits:agent", n=3, engine=engine, **commits)
    try:
        async with AsyncSqliteSaver.from_conn_string(str(home / "checkpoints.db")) as saver:
            graph = StateGraph(MessagesState).add_node("solve", node).add_edge(START, "solve").compile(saver)
            for question in map(str, range(count)):
                config = {"configurable": {"thread_id": question}}
                there = await graph.aget_state(config)
                if there.created_at is not None and not there.next:
                    continue
                asked = {"messages": json.dumps({"log": log, "question": question})}
                try:
                    done = await graph.ainvoke(asked if there.created_at is None else None, config, durability="sync")
                except CommitUncertain:
                    note(log, "uncertain", question)
                else:
                    note(log, "answered", question, done["messages"][-1].content)
    finally:
        await node.aclose()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(ask_all(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
