"""Makes docs/providers.md of the table of provider tests: ``python tests/providers/matrix.py``."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "engines"))

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

Each line of the table below is a test. It runs the real integration, with the arguments shown; only the address and
the key are changed. A local server answers in the provider's wire format, as the provider's documents describe it.
The test fails if more or less arrives than the line says (`tests/providers`, checked {checked}). No hosted service
was called, so a provider's models may behave differently: **`ec-agent doctor` asks yours**. llama.cpp is tested as a
real server in every test run, and `make engines` tests [others](#seen-on-real-servers). An integration may lose what
its provider sends, and another version of it may not; these were checked:
{versions}.

* **all**: every generated token has an entropy.
* **text only**: the tokens of the text have an entropy; those of the thinking are counted, and are gaps.
* **sampled only**: the logprob of the sampled token came, without candidates. There is no entropy, so the rollout is
  unscored, unless you choose by `LowestCentroid(signal="surprisal")`.
* **none**: no logprobs came. The rollout is unscored, or with `on_missing="raise"` stops with `MissingLogprobsError`.
  It never counts as confident.
* **refused**: the endpoint answers with an error. With `request_logprobs=True` the request is sent again in another
  way, and all arrive.

| provider | through | text | streamed | tool calls | streamed | thinking | streamed |
|---|---|---|---|---|---|---|---|
"""
OUTRO = """
{seen}

## Where tool calls come without logprobs

An agent often generates mostly tool calls. If their tokens have no logprobs, its timeline has holes, and below
`min_coverage` the rollout is unscored. `PromptedToolModel` lets the model write its calls as text, whose tokens have
logprobs: `PromptedToolModel(model=ChatOpenAI(...), protocol="json_schema")`, or `"hermes"` for models that were
trained on `<tool_call>`.

## What reaches the model

* **Requests.** `request_logprobs=True` and `sampling=` change requests that go through an `openai` client: those of
  ChatOpenAI, AzureChatOpenAI, ChatDeepSeek, ChatXAI, ChatTogether, and your own. Logprobs are asked for with 20
  candidates; if the endpoint refuses, with 8, 5, and none. If it refuses logprobs for streams with tools, the request
  is sent again without streaming. Streams are asked for their usage, because only there hidden thinking shows. The
  other integrations have clients of their own: ask for logprobs in their constructors.
* **Usage of streams.** Streams of ChatOpenAI with a `base_url`, ChatTogether and ChatDeepSeek report no usage unless
  `stream_usage=True`. Without it we cannot see that thinking has no logprobs, and of a tool call only that there is
  one.
* **Grammars and temperature.** If a grammar or a schema limits the answer, some servers compute the logprobs before
  it (llama.cpp), others after it (vLLM 0.32). At another temperature, the logprobs may be the model's own (both), or
  those after temperature (mistral.rs 0.9.5). The doctor finds out which ([doctor](doctor.md)); the receipt's
  `constrained_calls` counts calls with a grammar or schema.

## How answers are read

* **Tokens that a stream lacks** are gaps where the text has no entry ([method](method.md#1-token-entropies)).
  llama.cpp (xllamacpp 2026.10) leaves out every token that it does not show: with a `json_schema` the code fence
  before and after the JSON, the mark that ends the thinking, and always the end token. Of 24 tokens with a schema 5 are
  missing then, and how many of them are before the JSON is a guess; a mark is looked for where the thinking ends.
  Streamed or not, of a character it lists only the last token: of an answer of five emoji 5 of 16 tokens. So the share
  depends on the words that the model chose, and litellm passes on what it gets. With running counts the places
  are exact, if we see the request itself: `extra_body={"timings_per_token": True}` (llama.cpp), or
  `stream_options={"include_usage": True, "continuous_usage_stats": True}` (vLLM). Without streaming nothing of the
  fence is missing, and `PromptedToolModel` does not let its model stream.
* **mistral.rs 0.9.5** streams one entry where a list of one is due. LangChain fails when it adds such parts up
  (`TypeError`, langchain-core 1.8.3). Inside a rollout or `record_calls()` LangChain is given the list; outside, do
  not stream. Candidates are named by numbers, and shown by the text in their `bytes`. The logprobs are those after
  temperature.
* **Parts of characters** have the same name with several servers: U+FFFD with their own bytes (Ollama), or an empty
  text without bytes (vLLM 0.32; in bfloat16 with equal logprobs). Each is a candidate of its own. A token that is
  listed twice counts once; it is recognised by its number (`return_tokens_as_token_ids` in vLLM, `id` of llama.cpp,
  `tokenId` of Gemini), or by the text and bytes of whole characters.
* **Which count is believed.** LangChain (langchain-core 1.8.3) adds up usage and model names of all parts of a
  stream. If a route closes its stream twice, or sends its usage twice or as running totals (`continuous_usage_stats`
  of vLLM), the message says 80 tokens instead of 40, and a model `mm`. So we believe the request itself: each fact
  counts once, a closing usage comes before earlier ones, details that it lacks (cached, reasoning tokens) are taken
  from the others, and a closing part that comes again with its logprobs counts once. The message itself stays as
  LangChain made it. Chat models without an `openai` client are read in the same way, through LangChain's callbacks.
  Totals are then told from increments by the number of tokens, by a prompt that is counted again, and by repeated
  closing parts; otherwise LangChain's sum holds. Of a message alone (from a `RemoteGraph`, or saved), a finish reason
  `stopstop` shows that it was added up, and the tokens with logprobs show the divisor. A sum that nothing explains
  stays, and its surplus is a gap.
* **When a stream is complete.** A `finish_reason` says so: in the choice, beside it, in its delta, or in the usage.
  So does `[DONE]`; and, if there is neither, a closing usage with as many tokens as came. A running total does not.
  Without any of these the answer broke off: `StreamCutError`.
* **vLLM 0.32** returns exactly k candidates, unsorted, the sampled token first; if that is none of the k likeliest,
  the k-th is missing ([method](method.md#1-token-entropies)). `/v1/completions` names candidates by their texts, so
  candidates with the same text become one (for k = 5, 2 to 6 came); `return_tokens_as_token_ids` keeps them apart.
* **llama-cpp-python 0.3.36** adds the sampled token to the k likeliest, if it is none of them; then the k likeliest
  count. It ignores `n`, and refuses a `json_schema`.
* **Placeholders.** llama.cpp (with speculative decoding) and vLLM have sent `logprob: 0.0` for tokens that they did
  not measure; vLLM 0.32 sends -9999.0 for tokens that a grammar forbids. A token whose 0.0 nothing confirms, or all
  of whose candidates are masked, has no signal, and coverage falls ([method](method.md#1-token-entropies)).
* **Several answers to one request** (`n=2`, `candidateCount`): one of them counts. It is the one whose text, tool
  call or message the agent wrote; if none is, the first (index 0), which `invoke` returns. The others are on the bill
  (`Call.beside`) and on no timeline. The usage counts all answers (llama.cpp's one of them: then the bill has the
  tokens that are listed). Tokens that no answer's logprobs account for
  belong to the answers without logprobs; if there are none, they are shared out equally, or with `best_of` belong to
  the answers kept back. The receipt's warnings say for how many calls which of this holds. With `n=2` and streaming,
  ChatOpenAI (langchain-openai 1.7.4) mixes the answers into one message; then the first counts, and a warning says
  so.
* **Repeated logprobs.** Some routes send the logprobs of all earlier parts with every part, or those of all parts
  with the last. We recognise that by the number of tokens, by the text, or by numbers that no two tokens share;
  `ha ha ha` is not mistaken for it. With running totals of usage, which add up to everything that came, the text or
  the numbers decide.
* **Chat models without an `openai` client**, and saved parts, are read like requests: what is sent again counts once,
  and a part with text and without logprobs is a gap in its place, with or without usage.
* **Odd payloads** (NaN, `-9999.0`, duplicates, missing candidates ...) are listed in `ec_agent.capture.shapes`. Every
  test run reads 10,000 damaged payloads of all these providers; no number comes out that the payload does not hold,
  and through the clients your program receives what it would receive without us.
* **Damaged streams.** 10,000 streams were changed at random: parts dropped, doubled, split, merged, reordered, cut
  (`make streams`; every test run takes a part of them). Each gives the numbers of the whole answer, or says that it
  does not: coverage below 1, or an error of ours. Two losses cannot be seen, and are counted apart: a part that is
  lost or doubled together with its text while nothing counts the tokens, and one missing token, which is usually the
  end token.

## Calls that we do not see

A model may run in another process (a `RemoteGraph`, say), or in a thread without the context. Then we know its calls
only by the messages in the agent's state, objects or dicts, also in the `artifact` of a tool:

* **Each answer counts once**, beside the calls that we saw. It is recognised by its tokens and logprobs, and by the
  ids of answer and run. So a message may be copied, renamed, changed in its text, or written again by a later node.
  What was in the input, or was counted before a question or an action, is no call of this rollout.
* **Its place** is that of the step that wrote it; within the step, its message's place among those of calls that we
  saw. If that does not tell (parallel nodes, or another call in the same node that left no message), its place is
  where the graph took its message, and the receipt's warnings say so.
* **Without logprobs** such a message is a gap, as long as its usage says; without usage, of unknown length. Coverage
  falls, and the warnings say so. It counts as a call of its own if no call that we saw has its ids, or else its
  usage.
* **A `RemoteGraph` receives what it would receive if the agent ran alone**, as a node, in a subgraph, or called by a
  function: the thread, metadata and limits of your config, and nothing of the rollout. If your config names a thread,
  all rollouts use that one thread of the server, as the agent alone would; without a thread each rollout has its own.
* Two answers with the same words and the same logprobs, and without an id of run or answer, count as one, and the
  warnings say so. Tokens of such calls are on the bill, and `Limits` counts them at the end of the step.

## How to ask
"""


def page() -> str:
    """The page as it should be."""
    from seen_servers import section
    from table import MODES, ROWS

    names = ", ".join(f"{name}\0{version}" for name, version in VERSIONS.items())  # a name stays beside its version
    versions = textwrap.fill(names, 119, break_on_hyphens=False).replace("\0", " ")
    lines = [INTRO.format(checked=CHECKED, versions=versions).rstrip()]
    for row in ROWS:
        cells = [_cell(row.modes.get(mode)) for mode in MODES]
        lines.append(f"| {row.provider} | {_through(row.integration)} | {' | '.join(cells)} |")
    lines.append(OUTRO.rstrip().replace("{seen}", section()))
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
