"""What the tests of logs share: a file read with its troubles, and entropies computed from raw answers."""

from __future__ import annotations

from ec_agent import token_entropy
from ec_agent.logs import found_in, opened


def told(path, **more):
    """The rollouts in a file, and the troubles."""
    troubles = []
    with opened(path) as source:
        return list(found_in(source, lambda where, what: troubles.append(f"{where} {what}"), **more)), troubles


def by_hand(content):
    """The entropies of the tokens of one raw answer, computed from its JSON."""
    return token_entropy([[candidate["logprob"] for candidate in token["top_logprobs"]] for token in content])
