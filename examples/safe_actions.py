"""Use 4: an agent whose last step must not be done four times. In the clone: .venv/bin/python -m examples.safe_actions

Four rollouts weigh a parcel, each in a copy of the shop's database. None of them ships it: a rollout ends where it
would. The winner's call alone is carried out, with an idempotency key, and its copy becomes the database.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool

from ec_agent import SQLiteCopies, best_of_n, commit_tool, get_environment, get_idempotency_key
from ec_agent.local import LocalChatModel
from ec_agent.prompted import PromptedToolModel
from tools import weigh

LABELS: list[str] = []  # what left the house


@commit_tool
@tool
def ship(weight: str) -> str:
    """Ship the parcel that was weighed."""
    if get_environment() is not None:  # the worked examples below ship nothing
        with closing(get_environment().connect()) as shop, shop:
            shop.execute("INSERT INTO shipments VALUES (?)", (weight,))
        LABELS.append(f"{weight}, key {get_idempotency_key()}")
    return f"Shipped: {weight}"


def worked_examples() -> list[AnyMessage]:
    messages: list[AnyMessage] = []
    for parcel in ("6 cushions", "2 bowls + 4 candles", "1 vase", "5 trays + 2 clocks"):
        messages.append(HumanMessage(f"Parcel: {parcel}"))
        while not parcel.startswith("Weight"):
            parcel = step(messages, weigh, {"parcel": parcel.removeprefix("Parcel: ")})
        messages.append(AIMessage(step(messages, ship, {"weight": parcel.removeprefix("Weight: ")})))
    return messages


def step(messages: list[AnyMessage], called: BaseTool, args: dict[str, str]) -> str:
    result, call_id = str(called.invoke(args)), f"example_{len(messages)}"
    messages.append(AIMessage("", tool_calls=[{"name": called.name, "args": args, "id": call_id}]))
    messages.append(ToolMessage(result, tool_call_id=call_id))
    return result


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, "shop.db")
        with closing(sqlite3.connect(path)) as shop, shop:
            shop.execute("CREATE TABLE shipments (weight TEXT)")
        world = SQLiteCopies(path)

        model = PromptedToolModel(model=LocalChatModel(max_tokens=48), examples=tuple(worked_examples()))
        agent = create_agent(model, [weigh, ship])
        better = best_of_n(
            agent,
            n=4,
            on_commit="execute",
            environment=world,
            promote=world.promote,
            sampling=lambda i: {"seed": i, "temperature": 1.2},
        )
        result = better.run({"messages": [("user", "Parcel: 3 mugs + 2 lamps")]})

        for candidate, action in zip(result.selection.candidates, result.final_actions, strict=True):
            asked = [call["args"] for call in action.tool_calls] if isinstance(action, AIMessage) else action
            print(f"rollout {candidate.index}: centroid {candidate.centroid}, would ship {asked or 'nothing'}")
        print(f"winner: rollout {result.selection.winner}")
        for commit in result.selection.commits:
            print(f"committed: {commit['tool']}({commit['args']}), key {commit['key']}")
        with closing(sqlite3.connect(path)) as shop:
            print(f"in the database: {shop.execute('SELECT weight FROM shipments').fetchall()}")
        print(f"labels: {LABELS}")


if __name__ == "__main__":
    main()
