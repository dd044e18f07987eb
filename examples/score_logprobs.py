"""Use 3: the number alone. In the clone: .venv/bin/python -m examples.score_logprobs

Scores logprobs you already have: here three answers of the embedded model, as plain OpenAI responses.
"""

from __future__ import annotations

from openai import OpenAI

from ec_agent import (
    CentroidEvaluator,
    HEPConfig,
    entropy_centroid,
    high_entropy_phases,
    reward,
    token_entropy,
    trajectory_of,
)
from ec_agent.local import shared_server


def main() -> None:
    server = shared_server()
    client = OpenAI(base_url=server.base_url, api_key="not needed")
    config = HEPConfig(top_percent=5, bottom_percent=80, consecutive_low=2)
    for seed in range(3):
        response = client.chat.completions.create(
            model=server.model,
            messages=[{"role": "user", "content": "Why is the sky blue? One sentence."}],
            logprobs=True,
            top_logprobs=20,
            max_tokens=60,
            temperature=0.8,
            seed=seed,
        )

        # From the numbers up ...
        tokens = response.choices[0].logprobs.content
        entropies = token_entropy([[candidate.logprob for candidate in token.top_logprobs] for token in tokens])
        starts, durations = high_entropy_phases(entropies, config)
        centroid = entropy_centroid(entropies, config)
        print(f"seed {seed}: {len(entropies)} tokens, phases start at {starts} and last {durations}")
        print(f"        centroid {centroid}")

        # ... or in one step, from the response.
        assert trajectory_of(response).centroid(config) == centroid
        assert reward(trajectory_of(response), config) == 1 - centroid
        print(f"        {CentroidEvaluator(config)(inputs='sky', outputs=response)}")


if __name__ == "__main__":
    main()
