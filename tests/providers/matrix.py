"""docs/providers.md, made of the table that the tests drive: ``python tests/providers/matrix.py`` writes it."""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
CHECKED = "2026-11-25"
# What was installed then; the tests run with what is installed now.
VERSIONS = {
    "langchain-anthropic": "1.7.10",
    "langchain-deepseek": "1.1.1",
    "langchain-fireworks": "1.7.1",
    "langchain-google-genai": "4.4.2",
    "langchain-groq": "1.1.3",
    "langchain-huggingface": "1.2.3",
    "langchain-mistralai": "1.1.6",
    "langchain-ollama": "1.1.0",
    "langchain-openai": "1.7.4",
    "langchain-openrouter": "0.2.9",
    "langchain-perplexity": "1.4.2",
    "langchain-together": "0.4.0",
    "langchain-xai": "1.3.0",
    "openai": "3.57.0",
}
WORDS = {"full": "all", "content": "text only", "sampled": "sampled only", "none": "none"}
INTRO = """\
# Which model returns logprobs, and how to ask it

<!-- Made by `python tests/providers/matrix.py` of tests/providers/table.py; do not edit by hand. -->

Each line below is a test: the real integration is run, with the arguments shown and only its address and key changed,
against a local server that speaks the provider's wire format as its documents say; the test fails if more
or less arrives than the line says (`tests/providers`, checked {checked}). No hosted service was called, so what
a provider's models really do on a given day may differ: **`ec-agent doctor` asks yours**. llama.cpp alone is also
tested as a real server, in every test run. That an integration loses what its provider sends may change with its
version; these were checked: {versions}.

* **all**: every generated token has an entropy.
* **text only**: the text's tokens have one; those of the thinking are counted, and are gaps.
* **sampled only**: the logprob of the sampled token came, without candidates. There is no entropy, so the rollout is
  unscored, unless you compare by `LowestCentroid(signal="surprisal")`.
* **none**: no logprobs. The rollout is unscored, or with `on_missing="raise"` stops with `MissingLogprobsError`; it
  is never taken for confident.
* **refused**: the endpoint answers with an error; with `request_logprobs=True` it is asked in another way, and all
  arrive.

| provider | through | text | streamed | tool calls | streamed | thinking | streamed |
|---|---|---|---|---|---|---|---|
"""
OUTRO = """
## Where tool calls come without logprobs

Tool-call tokens are often what an agent mostly generates; without them its timeline has holes, and below
`min_coverage` the rollout is unscored. `PromptedToolModel` has the model write its calls as text, so that their
tokens are on the timeline: `PromptedToolModel(model=ChatOpenAI(...), protocol="json_schema")`, or `"hermes"` for
models trained on `<tool_call>`.

## What reaches what

* `request_logprobs=True` (and `sampling=`) reach whatever goes through an `openai` client: ChatOpenAI,
  AzureChatOpenAI, ChatDeepSeek, ChatXAI, ChatTogether and your own. It asks for 20 candidates, then 8, 5 and none
  where the endpoint refuses; asks again without streaming where that is refused together with tools; and asks for the
  length of streamed answers, in which alone hidden thinking shows. The other integrations have clients of their own:
  ask in their constructors.
* Streams of ChatOpenAI with a `base_url`, ChatTogether and ChatDeepSeek report no usage unless `stream_usage=True`:
  thinking without logprobs then cannot be seen to be missing, and of a tool call only that there is one.
* Where a grammar or a schema holds the answer, the logprobs may be those before it (llama.cpp's are) or after it (vLLM
  0.32's); and at another temperature they may be the model's own (both) or the sampler's (mistral.rs 0.9.5). The doctor
  tells which ([doctor.md](doctor.md)); the receipt's `constrained_calls` counts such calls.
* **Entries that a stream lacks** stand where the text has none (docs/method.md, section 1). llama.cpp (xllamacpp
  2026.10) leaves out all that it does not show: with a `json_schema` the code fence around the JSON, on both sides,
  and always the end token; and, streamed or not, all tokens of a character but its last. Of 24 tokens 5 are missing
  then, and how many of them stand before the JSON is a guess. `extra_body={"timings_per_token": True}` (llama.cpp) and
  `stream_options={"include_usage": True, "continuous_usage_stats": True}` (vLLM) send running counts, which make it
  exact where the request itself is heard; without streaming nothing of the fence is missing.
  `PromptedToolModel` does not have its inner model stream.
* mistral.rs 0.9.5 streams one token in the place of a list of one, on which LangChain fails when it adds up the parts
  (`TypeError`, langchain-core 1.8.3). Inside a rollout or `record_calls()` it is handed the list; outside, ChatOpenAI
  fails on it: do not stream there. Its candidates are named by numbers, and shown by the text in their `bytes`; its
  logprobs are those after temperature.
* Parts of characters are named alike by several servers: U+FFFD with its own bytes (Ollama), nothing with no bytes
  (vLLM 0.32, many in a row; in bfloat16 with equal logprobs). Each of them is a candidate. One token listed twice is
  told by its number (`return_tokens_as_token_ids` in vLLM, llama.cpp's `id`, Gemini's `tokenId`), or by text and bytes
  of whole characters.
* **Whose count is believed.** LangChain (langchain-core 1.8.3) adds up what the parts of a stream say of usage and
  model: a route that closes its stream twice, tells its usage in two closing chunks or as running totals (vLLM's
  `continuous_usage_stats`) leaves 80 tokens for 40 and a model `mm` on the message. What was heard of the request is
  believed in its place: each fact once, the closing usage before earlier ones, a detail that one of them lacks (cached,
  reasoning tokens) from the others, a closing part that comes again with its logprobs once. The message itself stays as
  LangChain made it. The parts of chat models without an `openai` client are heard through LangChain's callbacks, and
  read alike: totals are told from increments by the count of tokens that came, by a prompt that is told again, and by
  closing parts that repeat; where nothing tells, LangChain's sum holds. Of a message alone (a `RemoteGraph`'s, a saved
  one), a reason to end that reads `stopstop` tells, and the tokens with logprobs say by what to divide. A sum that
  nothing explains stays, its surplus a gap.
* **When a stream is whole.** A `finish_reason` says so, in the choice, beside it, in its delta or in the usage; so do
  `[DONE]` and, without either, a closing usage that counts as many tokens as came. A running total does not: it counts
  what came all along. Nothing of these, and the answer broke off: `StreamCutError`.
* vLLM 0.32 returns exactly k candidates, unsorted, the sampled token first; where that is none of the k likeliest it
  pushes the k-th out (docs/method.md, section 1). `/v1/completions` names candidates by their texts, so that those of
  one text collapse (2 to 6 came for k = 5): `return_tokens_as_token_ids` keeps them apart.
* Placeholders: llama.cpp (speculative decoding) and vLLM have sent `logprob: 0.0` for tokens that they did not measure;
  vLLM 0.32 sends -9999.0 for what a grammar forbids. A token whose 0.0 nothing confirms, or all of whose candidates are
  masked, has no signal of any kind, and coverage falls (docs/method.md, section 1).
* Of several answers to one request (`n=2`, `candidateCount`) one counts: the one that the agent went on with, where its
  text, a tool call of it or its message is in what the agent wrote; else the first (index 0), which `invoke` returns.
  The others are on the bill (`Call.beside`) and on no timeline. Usage counts all of them together: what no answer
  accounts for is that of those without logprobs, or else shared out equally, and of `best_of` that of those kept back.
  The receipt's warnings say for how many calls which of this is so. Streamed with `n=2`, ChatOpenAI (langchain-openai
  1.7.4) mixes the answers into one message, which is none of them: the first counts, and a warning says it.
* Routes that resend with every part of a stream the logprobs of all parts before, or with the last those of all, are
  recognised by the count of tokens, by the text, or by numbers that no two tokens have in common; `ha ha ha` is not.
  Beside running totals of usage, which add up to all that came, the text or the numbers decide.
* The parts of chat models without an `openai` client, and saved ones, are read like those of requests: what is resent
  counts once, and a part that says something and has no logprobs is a gap in its place, with or without usage.
* What becomes of odd payloads (NaN, `-9999.0`, duplicates, missing candidates ...) is listed in
  `ec_agent.capture.shapes`; 10,000 damaged payloads of all these providers are read in every test run, and no number
  comes out that the payload does not hold; sent through the clients, they meet their reader as they do outside.
* Of 10,000 mutated streams (parts dropped, doubled, split, merged, reordered, cut; `make streams`, a part of them in
  every test run) each gives the whole answer's numbers or says that it does not: coverage below 1, or an error of ours.
  What nobody can see is counted apart: a part lost or doubled with its text where nothing counts the tokens, and one
  token short, which is the end token as a rule.

## Calls that nobody heard

A model that runs in another process (a `RemoteGraph`, say) or in a thread without the context is known by the
messages it leaves in the agent's state, objects or dicts, in a tool's `artifact` too:

* **Each answer counts once**, beside the calls that were heard. It is told by its tokens and logprobs and by the ids
  of answer and run, so a message may be copied, renamed, given another text or written again by a later node. What
  was in the input, or was counted before a question or an action, is no call of this rollout.
* **Its place** is that of the step that wrote it, and within the step that of its message among those of calls that
  were heard. Where that does not tell (nodes side by side, a call in the same node that left no message), it stands
  where the graph took its message, and the receipt's warnings say so.
* **Without logprobs** such a message is a gap, as long as its usage says, and of unknown length without usage:
  coverage falls, and the warnings say so. It is taken for a call of its own where its ids, or else its usage, are of
  no call that was heard.
* **A `RemoteGraph` is sent what it would be sent if the agent ran alone**, as a node, in a subgraph or called by a
  function: the thread, metadata and limits of the user, none of the rollout's. With a thread of the user's all rollouts
  go to that one thread of the server, as the agent alone would; leave it out to have them apart.
* Two answers that are alike word for word and logprob for logprob, and have no id of a run or an answer, count as
  one; the warnings say so. Tokens of such calls are on the bill, and `Limits` sees them at the end of the step.

## How to ask
"""


def page() -> str:
    """The page as it should be."""
    from table import MODES, ROWS

    versions = ", ".join(f"{name} {version}" for name, version in VERSIONS.items())
    lines = [INTRO.format(checked=CHECKED, versions=versions).rstrip()]
    for row in ROWS:
        cells = [_cell(row.modes.get(mode)) for mode in MODES]
        lines.append(f"| {row.provider} | {_through(row.integration)} | {' | '.join(cells)} |")
    lines.append(OUTRO.rstrip())
    for row in ROWS:
        lines += ["", f"**{row.provider}**, `{row.integration}`", "", "```python", *_wrapped(row.code), "```", ""]
        lines.append(f"Written to: {row.document}.")
    return "\n".join(lines) + "\n"


def _through(integration: str) -> str:
    return "an `openai` client" if integration == "openai.OpenAI" else f"`{integration}`"


def _cell(said: str | None) -> str:
    if said is None:
        return ""
    return "refused" if said.startswith("fails") else WORDS[said]


def _wrapped(code: str) -> list[str]:
    name, _, rest = code.partition("(")
    if len(code) <= 100 or not rest.endswith(")") or ").bind" in rest:
        return [code]
    return [f"{name}(", *(f"    {argument}," for argument in _arguments(rest[:-1])), ")"]


def _arguments(text: str) -> list[str]:
    """An argument list, split at its outermost commas."""
    found, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        depth += (letter in "([{") - (letter in ")]}") if not quoted else 0
        if letter == "," and depth == 0 and not quoted:
            found.append("")
        else:
            found[-1] += letter
    return [each.strip() for each in found]


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    PAGE.write_text(page(), encoding="utf-8")
