"""What to tell somebody whose model returned no logprobs."""

from __future__ import annotations

from ec_agent.trajectory import Call

ASK_FOR_LOGPROBS = (
    "ask for them (ChatOpenAI(..., logprobs=True, top_logprobs=20), or request_logprobs=True where the model is called "
    "through an openai client), or use a model and endpoint that return them; `ec-agent doctor` shows what yours does"
)
ASK_BY_NAME = "compare by these alone with selector=LowestCentroid(signal='surprisal')"


def missing(call: Call) -> str:
    """What a call lacks, and what to do."""
    if call.capability == "sampled":
        return (
            f"model {call.model!r} returned logprobs of the sampled tokens alone, without candidates; "
            f"{ASK_FOR_LOGPROBS}; or {ASK_BY_NAME}"
        )
    return f"model {call.model!r} returned no logprobs; {ASK_FOR_LOGPROBS}"
