"""The advice for users whose model returned no logprobs."""

from __future__ import annotations

from ec_agent.numbers.trajectory import Call

ASK_FOR_LOGPROBS = (
    "ask for them (ChatOpenAI(..., logprobs=True, top_logprobs=20), or request_logprobs=True where the model is called "
    "through an openai client), or use a model and endpoint that return them; `ec-agent doctor` shows what yours does"
)
OR_PLACEHOLDERS = " (or placeholders, which measure nothing: 0.0 in a row, -9999 throughout)"
COUNT_ANSWERS = "count equal answers, which needs no logprobs: selector=MajorityVote(), from ec_agent.selectors"
ASK_BY_NAME = "compare by these alone with selector=LowestCentroid(signal='surprisal')"


NOT_FROM_CACHE = (
    "switch the cache off for these rollouts (cache=False on the model), or delete the answers that it has without "
    "logprobs; ChatOpenAI over the Responses API never caches logprobs"
)


def missing(call: Call, *, cached: bool = False) -> str:
    """Return a message that says which logprobs a call lacks, and what to do.

    Args:
        call: the call.
        cached: whether an LLM cache of the client answered.
    """
    if cached:
        return f"an LLM cache answered for model {call.model!r}, without logprobs; {NOT_FROM_CACHE}"
    if call.capability == "sampled":
        return (
            f"model {call.model!r} returned logprobs of the sampled tokens alone, without candidates; "
            f"{ASK_FOR_LOGPROBS}; or {ASK_BY_NAME}"
        )
    return f"model {call.model!r} returned no logprobs{OR_PLACEHOLDERS}; {ASK_FOR_LOGPROBS}"
