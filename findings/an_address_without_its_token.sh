#!/usr/bin/env bash
# Guess: on the machine of a cluster, ray.init("host:port") connects as ray.init("auto") does.
# So it is: the first local ray.init() writes a token into ~/.ray/auth_token, and each cluster that `ray start --head`
#   starts afterwards wants it. "auto" reads that file; an address that is written out does not, and is refused with an
#   error that names the file. With RAY_AUTH_MODE=token it is read.
set -euo pipefail
folder=$(mktemp -d /tmp/ray-XXXX)
trap 'kill "${head:-}" 2>/dev/null && wait "$head" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  ray==2.60.0
export HOME="$folder" RAY_TMPDIR="$folder" RAY_USAGE_STATS_ENABLED=0
unset RAY_AUTH_MODE RAY_ADDRESS
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
port=$("$folder/venv/bin/python" -Ic 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/python" -Ic 'import ray; ray.init("local", num_cpus=1, include_dashboard=False); ray.shutdown()' 2>/dev/null
"$folder/venv/bin/ray" start --head --block --port="$port" --num-cpus=1 --include-dashboard=false >"$folder/log" 2>&1 &
head=$!
until grep -q "Ray runtime started" "$folder/log"; do sleep 1; kill -0 "$head"; done
cat >"$folder/connect.py" <<'PYTHON'
import sys

import ray

try:
    ray.init(sys.argv[1], log_to_driver=False)
    print("connected")
except Exception as error:
    while error.__cause__ is not None:
        error = error.__cause__
    wants_token = "AuthenticationError" in f"{type(error).__name__} {error}"
    print("AuthenticationError" if wants_token else type(error).__name__)
PYTHON
connect() { "$folder/venv/bin/python" -I "$folder/connect.py" "$1" 2>/dev/null; }
echo "Version: ray $("$folder/venv/bin/python" -Ic 'import ray; print(ray.__version__)')"
auto=$(connect auto)
explicit=$(connect "127.0.0.1:$port")
told=$(RAY_AUTH_MODE=token connect "127.0.0.1:$port")
echo "Seen: ~/.ray has: $(ls "$folder/.ray")"
echo "Seen: ray.init(\"auto\"): $auto"
echo "Seen: ray.init(\"127.0.0.1:PORT\"): $explicit"
echo "Seen: the same with RAY_AUTH_MODE=token: $told"
if [ "$auto $explicit $told" != "connected AuthenticationError connected" ]; then
  echo "This has changed."
  exit 1
fi
