#!/usr/bin/env bash
# Guess: a gateway that passes whole answers on passes streams on, too.
# So it is: in Node 20 the gateway of Portkey answers a request for a stream with "Something went wrong" (500), though its
#   provider has streamed: it appends to headers that Node's fetch does not let it change. Whole answers pass.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
major=$(node -p 'process.versions.node.split(".")[0]')
if [ "$major" != 20 ]; then echo "This was seen in Node 20; here is Node $major." && exit 1; fi
cd "$folder"
npm install --silent --no-fund --no-audit --save-exact @portkey-ai/gateway@1.15.2
node node_modules/@portkey-ai/gateway/build/start-server.js --headless --port=28787 > gateway.log 2>&1 &
python3 -I - <<'PYTHON'
import json
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

package = json.loads(Path("node_modules/@portkey-ai/gateway/package.json").read_text())
print("Version: @portkey-ai/gateway", package["version"])


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


BASE = {"id": "c", "created": 1, "model": "m"}
asked = []


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked.append(bool(body.get("stream")))
        message, choice = {"role": "assistant", "content": "hello"}, {"index": 0, "finish_reason": "stop"}
        if body.get("stream"):
            part = {**BASE, "object": "chat.completion.chunk", "choices": [{**choice, "delta": message}]}
            kind, sent = "text/event-stream", f"data: {json.dumps(part)}\n\ndata: [DONE]\n\n"
        else:
            whole = {**BASE, "object": "chat.completion", "choices": [{**choice, "message": message}]}
            kind, sent = "application/json", json.dumps(whole)
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(sent.encode())

    def log_message(self, *_):
        pass


provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=provider.serve_forever, daemon=True).start()
HEADERS = {
    "Content-Type": "application/json",
    "Authorization": "Bearer none",
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": f"http://127.0.0.1:{provider.server_port}/v1",
}


def ask(stream):
    """The status and the text of an answer through the gateway."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream})
    url = "http://127.0.0.1:28787/v1/chat/completions"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), HEADERS), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


for _ in range(120):  # until it is up
    try:
        urllib.request.urlopen("http://127.0.0.1:28787/", timeout=2).close()
        break
    except urllib.error.HTTPError:
        break
    except OSError:
        time.sleep(0.5)
status, text = ask(stream=False)
seen("a whole answer", (status, "hello" in text), is_now=(status, "hello" in text) == (200, True))
status, text = ask(stream=True)
seen("a stream", (status, text[:80]), is_now=status == 500 and "Something went wrong" in text)
seen("what the provider was asked for: streams", asked[:2], is_now=asked[:2] == [False, True])
PYTHON
