"""Use 5: hand over where the winner is unsure. In the clone: .venv/bin/python -m examples.hand_over

A clerk adds numbers; the more there are, the more often it is wrong. It is scripted, so that no model is needed. How
likely its winner is right was fitted on sixty sums, by these commands:

    ec-agent eval examples.hand_over:tasks --agent examples.hand_over:clerk --n 8 --no-greedy --out runs/sums.db
    ec-agent calibrate runs/sums.db --selectors majority_vote --probability --out examples/hand_over.json
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from ec_agent import load_settings
from ec_agent.evaluation import BaseTask, Outcome
from ec_agent.testing import Reply, ScriptedChatModel
from graphs.sure_desk import make_desk

SETTINGS = Path(__file__).with_suffix(".json")
CHANCE = random.Random(2)


def adding(messages: list[Any], index: int | None) -> Reply:
    numbers = [int(word) for word in messages[-1].text.split() if word.isdigit()]
    slips = [CHANCE.choice((-10, -1, 1, 10)) for _ in numbers if CHANCE.random() < 0.09 * len(numbers) - 0.15]
    return Reply(str(sum(numbers) + sum(slips)), entropies=[1.2 if slips else 0.4, 0.1])


def ask(state: MessagesState) -> dict[str, Any]:
    return {"messages": [MODEL.invoke(state["messages"])]}


MODEL = ScriptedChatModel(adding)
builder = StateGraph(MessagesState)
builder.add_node("ask", ask)
builder.add_edge(START, "ask")
builder.add_edge("ask", END)
clerk = builder.compile(name="clerk")


class Sum(BaseTask):
    def __init__(self, numbers: list[int]) -> None:
        question = " + ".join(map(str, numbers))
        super().__init__(question, question)
        self.expected = str(sum(numbers))

    def verdict(self, outcome: Outcome) -> bool:  # noqa: D102
        return bool(outcome.final_action.text == self.expected)


def tasks() -> list[Sum]:
    drawn = random.Random(0)
    return [Sum([drawn.randint(10, 99) for _ in range(2 + place % 6)]) for place in range(60)]


def main() -> None:
    desk = make_desk(clerk, settings=load_settings(SETTINGS), checkpointer=InMemorySaver())
    for place, question in enumerate(("12 + 30", "17 + 38 + 49 + 56 + 72 + 81 + 93")):
        thread: Any = {"configurable": {"thread_id": str(place)}}
        state = desk.invoke({"messages": [("user", question)]}, thread)
        receipt = state["receipt"]
        print(f"{question}: probability {receipt['probability']:.2f}, from {receipt['rests_on']['tasks']} tasks")
        for waiting in state.get("__interrupt__", ()):
            print(f"a person is asked about {waiting.value['proposal']}")
            state = desk.invoke(Command(resume="406, I counted"), thread)
        print(f"answer: {state['messages'][-1].text}")


if __name__ == "__main__":
    main()
