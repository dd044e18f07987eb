#!/usr/bin/env bash
# Guess: litellm's proxy with one model and no key of its own starts, and serves whoever asks on 127.0.0.1.
# So it is: it refuses to start, also there, until general_settings has a master_key, which every request must then send.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "litellm[proxy]==1.108.0"
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
unset LITELLM_MASTER_KEY
export LITELLM_LOCAL_MODEL_COST_MAP=True
cd "$folder"
"$folder/venv/bin/python" -I - "$folder/venv/bin/litellm" <<'PYTHON'
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path

print("Version: litellm", version("litellm"))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


CONFIG = {"model_list": [{"model_name": "m", "litellm_params": {"model": "openai/m", "mock_response": "hello"}}]}


def start(**settings):
    Path("config.yaml").write_text(json.dumps({**CONFIG, **settings}))
    command = [sys.argv[1], "--config", "config.yaml", "--host", "127.0.0.1", "--port", "28788"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ask(**headers):
    """The status of an answer."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
    request = urllib.request.Request(
        "http://127.0.0.1:28788/v1/chat/completions", body, {"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


without = start()
try:
    said, _ = without.communicate(timeout=400)
except subprocess.TimeoutExpired:
    without.kill()
    sys.exit("This has changed: it starts without a key.")
seen("without a key it ends with", without.returncode, is_now=without.returncode != 0)
named = "dangerously_permit_weak_or_unset_master_key" in said
seen("and names a setting that permits it", named, is_now=named)
proxy = start(general_settings={"master_key": "sk-0123456789abcdef0123456789abcdef"})
try:
    for _ in range(800):
        try:
            urllib.request.urlopen("http://127.0.0.1:28788/health/liveliness", timeout=5).close()
            break
        except OSError:
            time.sleep(0.5)
    statuses = ask(), ask(Authorization="Bearer sk-0123456789abcdef0123456789abcdef")
finally:
    proxy.kill()
seen("with a key: a request without it, and with it", statuses, is_now=statuses[0] >= 400 and statuses[1] == 200)
PYTHON
