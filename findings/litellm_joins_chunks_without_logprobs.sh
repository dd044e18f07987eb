#!/usr/bin/env bash
# Guess: where a stream's chunks have logprobs, the answer that LiteLLM joins from them has them too, as the whole answer
#   to the same request has: in stream_chunk_builder, and in what its callbacks are given to log.
# So it is: the joined answer has logprobs None, in silence. Its callbacks get that answer, so a log of streamed answers
#   has no logprobs, while one of whole answers has all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet litellm==1.110.2 openai==3.57.0
export LITELLM_LOCAL_MODEL_COST_MAP=True
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

print("Version:", ", ".join(f"{name} {version(name)}" for name in ("litellm", "openai")))


def seen(what, value, *, is_now):
    """Print what was seen, and end with an error where it is no longer so."""
    print(f"Seen: {what}: {value!r}")
    if not is_now:
        sys.exit("This has changed.")


import litellm
from litellm.integrations.custom_logger import CustomLogger

TOKEN = {"token": "yes", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "yes", "logprob": -0.5, "bytes": None}]}


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        streams = json.loads(self.rfile.read(int(self.headers["content-length"]))).get("stream")
        said = {"role": "assistant", "content": "yes"}
        choice = {"index": 0, "delta" if streams else "message": said, "logprobs": {"content": [TOKEN]}}
        kind = "chat.completion.chunk" if streams else "chat.completion"
        answer = {"id": "c", "object": kind, "created": 1, "model": "m", "choices": [{**choice, "finish_reason": "stop"}]}
        body = json.dumps(answer)
        body = f"data: {body}\n\ndata: [DONE]\n\n" if streams else body
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if streams else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


class Log(CustomLogger):
    answers = []

    def log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.answers.append(response_obj.model_dump())


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
messages = [{"role": "user", "content": "q"}]
asked = {"model": "openai/m", "api_base": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "x", "messages": messages}
litellm.callbacks = [Log()]


def logged(**more):
    """Ask, and return what came and what was logged."""
    before = len(Log.answers)
    answer = litellm.completion(**asked, logprobs=True, top_logprobs=1, **more)
    answer = list(answer) if more else answer
    for _ in range(300):
        if len(Log.answers) > before:
            break
        time.sleep(0.1)
    return answer, Log.answers[-1]["choices"][0].get("logprobs")


_, kept = logged()
seen("tokens with logprobs in the log of a whole answer", len(kept["content"]), is_now=len(kept["content"]) == 1)
chunks, kept = logged(stream=True)
came = [each.choices[0].logprobs for each in chunks if getattr(each.choices[0], "logprobs", None)]
seen("chunks with logprobs of the streamed answer", len(came), is_now=len(came) == 1)
seen("logprobs in the log of the streamed answer", kept, is_now=kept is None)
joined = litellm.stream_chunk_builder(chunks, messages=messages).model_dump()["choices"][0].get("logprobs")
seen("logprobs that stream_chunk_builder returns", joined, is_now=joined is None)
server.shutdown()
PYTHON
