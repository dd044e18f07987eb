#!/usr/bin/env bash
# Guess: a local cluster that ray.init() starts lives until ray.shutdown(), or until the process that started it ends.
# So it is: on Linux it ends with the thread that called ray.init(). Ray asks the kernel to end its processes with their
#   parent, and for the kernel the parent is the thread (PR_SET_PDEATHSIG). A program that connects in a thread of a pool
#   hears nothing of it: ray.is_initialized() stays true.
set -euo pipefail
folder=$(mktemp -d /tmp/ray-XXXX)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
  ray==2.60.0 \
  psutil==7.2.2
export HOME="$folder" RAY_TMPDIR="$folder" RAY_USAGE_STATS_ENABLED=0
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - 2>/dev/null <<'PYTHON'
import os
import sys
import threading
import time
from importlib.metadata import version

print("Version:", f"ray {version('ray')}", flush=True)

import psutil
import ray

ended = threading.Event()


def start():
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
    print("Seen: ray.is_initialized() when the cluster is there:", ray.is_initialized(), flush=True)
    print("Seen: its processes:", sorted(servers()), flush=True)
    ended.wait()


def servers():
    found = psutil.Process().children(recursive=True)
    names = [each.name() for each in found if each.status() != psutil.STATUS_ZOMBIE]
    return {name for name in names if name in ("gcs_server", "raylet")}


thread = threading.Thread(target=start)
thread.start()
while not (ray.is_initialized() and servers() == {"gcs_server", "raylet"}):
    time.sleep(0.1)
time.sleep(5)
lived = servers()
ended.set()
thread.join()
until = time.monotonic() + 20
while servers() and time.monotonic() < until:
    time.sleep(0.1)
print("Seen: after 5 s more of that thread:", sorted(lived))
print("Seen: after its end:", sorted(servers()), "and ray.is_initialized() is", ray.is_initialized(), flush=True)
changed = lived != {"gcs_server", "raylet"} or servers() or not ray.is_initialized()
if changed:
    print("This has changed.", flush=True)
os._exit(bool(changed))  # ray.shutdown() would wait for a cluster that is gone
PYTHON
