"""Use 2: wrap a create_agent agent. In the clone: .venv/bin/python -m examples.wrap_agent

The wrapped agent keeps its input and output; .run() hands out the receipt and the trajectories as well.
"""

from __future__ import annotations

from ec_agent import best_of_n
from graphs.agent import DEMO_QUESTION, make_agent


def main() -> None:
    agent = make_agent()  # any create_agent(...) agent; its model must return logprobs
    better = best_of_n(agent, n=3, sampling=lambda i: {"seed": i})

    result = better.run({"messages": [("user", DEMO_QUESTION)]})
    for candidate in result.selection.candidates:
        print(
            f"rollout {candidate.index}: centroid {candidate.centroid}, {candidate.calls} calls, "
            f"{candidate.tokens} tokens, coverage {candidate.coverage}"
        )
    print(f"winner: rollout {result.selection.winner}, margin {result.selection.margin}")
    print(f"answer: {result.output['messages'][-1].content}")


if __name__ == "__main__":
    main()
