"""Without the system's libgomp: a wheel's copy takes its place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ec_agent.errors import LocalModelError
from ec_agent.local import openmp

# In a process of its own: a library stays loaded.
FETCHED = """
import ctypes
from ec_agent.local import openmp
openmp.load_carried(openmp.fetch(openmp.CARRIER))
runtime = ctypes.CDLL("libgomp.so.1")  # found by its name among the loaded, wherever the system has one
mine = [line.split()[-1] for line in open("/proc/self/maps") if "gomp" in line or "/tmp" in line]
print(runtime.omp_get_max_threads() >= 1, "/usr/lib" in " ".join(mine))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="xllamacpp's wheels ask for libgomp on Linux only")
def test_a_carried_copy_answers_to_the_systems_name():
    done = subprocess.run([sys.executable, "-c", FETCHED], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["True", "False"], done.stdout + done.stderr


def missing(*_, **__):
    raise OSError("libgomp.so.1: cannot open shared object file")


def test_where_the_system_has_none_one_is_fetched(monkeypatch, tmp_path):
    loaded = []
    monkeypatch.setattr(openmp.ctypes, "CDLL", missing)
    monkeypatch.setattr(openmp.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(openmp.sys, "platform", "linux")
    monkeypatch.setattr(openmp, "fetch", lambda pinned: tmp_path / pinned.member)
    monkeypatch.setattr(openmp, "load_carried", loaded.append)
    openmp.load_openmp()
    assert loaded == [tmp_path / openmp.CARRIER.member]


def test_on_other_machines_the_error_names_the_package(monkeypatch):
    monkeypatch.setattr(openmp.ctypes, "CDLL", missing)
    monkeypatch.setattr(openmp.platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(openmp.sys, "platform", "linux")
    with pytest.raises(LocalModelError, match="apt install libgomp1"):
        openmp.load_openmp()


def test_a_copy_that_is_no_library(tmp_path):
    broken = tmp_path / "libgomp-0.so"
    broken.write_bytes(b"no ELF")
    with pytest.raises(LocalModelError, match="apt install libgomp1"):
        openmp.load_carried(broken)
