"""Bring the model you have: an agent that never asks for logprobs. In the clone: .venv/bin/python -m examples.any_model

The doctor says what the endpoint can do; ``request_logprobs`` asks for what the agent does not; ``PromptedToolModel``
puts tool calls into the text, for models and endpoints that give no logprobs for native ones, or have none.
"""

from __future__ import annotations

from langchain_openai import ChatOpenAI

from ec_agent import best_of_n
from ec_agent.doctor import EndpointTarget, diagnose
from ec_agent.local import shared_server
from ec_agent.prompted import PromptedToolModel
from graphs.agent import make_agent, worked_examples


def main() -> None:
    server = shared_server()  # your endpoint here

    report = diagnose(EndpointTarget(server.base_url, server.model))
    print(f"doctor: {report.verdict}; with tools and streaming: {report.finding('tools_stream').detail}")

    model = ChatOpenAI(model=server.model, base_url=server.base_url, api_key="none", temperature=0.8, max_tokens=64)
    examples = tuple(worked_examples(["6 cushions", "2 bowls + 4 candles + 1 tray"]))
    agent = make_agent(PromptedToolModel(model=model, examples=examples))
    better = best_of_n(agent, n=3, request_logprobs=True, sampling=lambda i: {"seed": i})

    result = better.run({"messages": [("user", "Parcel: 3 mugs + 2 lamps")]})
    for candidate in result.selection.candidates:
        print(
            f"rollout {candidate.index}: centroid {candidate.centroid}, calls by logprobs {dict(candidate.logprobs)}, "
            f"{candidate.constrained_calls} held to a schema"
        )
    print(f"answer: {result.output['messages'][-1].content}")


if __name__ == "__main__":
    main()
