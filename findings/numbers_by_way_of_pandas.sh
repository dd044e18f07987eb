#!/usr/bin/env bash
# Guess: pyarrow's Array.to_numpy() of plain numbers is a view of their memory, and pyarrow.array() of a NumPy array copies
#   its numbers; neither needs a third package.
# So it is: where pandas is installed, the first of either in a process imports it, hundreds of modules, which takes about
#   as long as to import NumPy and pyarrow. Without pandas both give the same numbers. A worker process for each part of a
#   Parquet file pays it each time. Functions of pyarrow.compute on arrays, and the buffers of an array, do without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
sed -n '2,/^set /{/^set /d;s/^# //;p;}' "${BASH_SOURCE[0]}"
"$folder/venv/bin/python" -I - <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version

print("Versions: pyarrow", version("pyarrow"), "pandas", version("pandas"), "numpy", version("numpy"))

BEGINNING = """
import sys
import time

began = time.process_time()
import numpy as np
import pyarrow as pa
from pyarrow import compute

numbers = np.arange(4.0)
array = pa.Array.from_buffers(pa.float64(), 4, [None, pa.py_buffer(numbers)])
before, first, began = len(sys.modules), time.process_time() - began, time.process_time()
"""
END = """
took = time.process_time() - began
ratio = f"{took / first:.1f} of the time of importing NumPy and pyarrow"
print(f"{what:34} pandas imported: {'pandas' in sys.modules!s:5} {ratio}, modules more: {len(sys.modules) - before}")
"""
WAYS = {
    "array.to_numpy()": True,
    "pa.array(numbers)": True,
    "compute.add(array, array)": False,
    "np.frombuffer(array.buffers()[1])": False,
    "np.from_dlpack(array)": False,
}


def run(code):
    return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout


changed = False
run(f"{BEGINNING}array.to_numpy()")  # so that all bytecode is there
for way, imports in WAYS.items():
    said = run(f"{BEGINNING}{way}\nwhat = {way!r}{END}")
    print("Seen:", said.strip())
    changed |= f"pandas imported: {imports!s}" not in said or (imports and int(said.split()[-1]) < 100)

subprocess.run([sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", "pandas"], check=True)
same = run(f"{BEGINNING}print(array.to_numpy().tolist() == pa.array(numbers).to_numpy().tolist() == [0, 1, 2, 3])")
print("Seen: without pandas, the same numbers:", same.strip())
if changed or same.strip() != "True":
    sys.exit("This has changed.")
PYTHON
