"""A node that calls the openai client itself. In the clone: .venv/bin/python -m examples.raw_openai_client

No LangChain model anywhere: the calls are captured at the client. The embedded server stands in for any
OpenAI-compatible endpoint that returns logprobs.
"""

from __future__ import annotations

from typing import Any

from openai import OpenAI

from ec_agent import best_of_n
from ec_agent.local import shared_server

QUESTION = "Name one reason why leaves are green."


def make_writer(client: OpenAI, model: str) -> Any:
    def write(state: dict[str, Any]) -> dict[str, Any]:
        def ask(prompt: str) -> str:
            response = client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": prompt}],
                logprobs=True,
                top_logprobs=20,
                temperature=0.8,
                max_tokens=40,
            )
            return response.choices[0].message.content or ""

        draft = ask(state["question"])
        return {"answer": ask(f"Say this in one short sentence: {draft}")}

    return write


def main() -> None:
    server = shared_server()
    client = OpenAI(base_url=server.base_url, api_key="not needed")
    result = best_of_n(make_writer(client, server.model), n=4, sampling=lambda i: {"seed": i}).run(
        {"question": QUESTION}
    )
    for candidate in result.selection.candidates:
        print(f"rollout {candidate.index}: centroid {candidate.centroid}, {candidate.calls} calls")
    print(f"winner: rollout {result.selection.winner}")
    print(f"answer: {result.output['answer']}")


if __name__ == "__main__":
    main()
