"""The server's errors, and the real one: its life, its silence, and what forked children do with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import openai
import pytest

import ec_agent.local
from ec_agent.errors import ConfigError, LocalModelError
from ec_agent.local import LocalServer, server
from ec_agent.support.extras import installing


def models(base_url):
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=10) as client:
        return [model.id for model in client.models.list().data]


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, ec_agent.local; "
        "print({'xllamacpp', 'openai', 'langchain_core', 'platformdirs', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_public_names():
    assert all(getattr(ec_agent.local, name) for name in ec_agent.local.__all__)
    assert dir(ec_agent.local) == ec_agent.local.__all__
    with pytest.raises(AttributeError, match="nothing"):
        ec_agent.local.nothing  # noqa: B018


@pytest.mark.parametrize("argument", ["n_parallel", "n_ctx", "n_threads"])
def test_sizes_must_be_positive(argument):
    with pytest.raises(ConfigError, match=argument):
        LocalServer(**{argument: 0})


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(LocalModelError, match=re.escape(f"run: {installing('ec-agent[local]')}")):
        LocalServer().start()


def test_no_model_there(tmp_path):
    with pytest.raises(LocalModelError, match="no model at"):
        LocalServer(tmp_path / "none.gguf").start()


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "bad.gguf").write_text("no")
    with pytest.raises(LocalModelError, match="GGUF"):
        LocalServer(tmp_path / "bad.gguf").start()


def test_not_started():
    with pytest.raises(LocalModelError, match=r"start\(\)"):
        _ = LocalServer().base_url


@pytest.mark.whole_form("a process of its own, which starts two servers")
@pytest.mark.model
def test_a_server_that_nobody_asked_can_be_stopped():
    """It listens on a thread of its own, and one that was stopped before it did never ended."""
    code = "from ec_agent.local import LocalServer as S; [S(n_parallel=1, n_ctx=256).start().stop() for _ in range(2)]"
    subprocess.run([sys.executable, "-c", code], timeout=120, check=True)


@pytest.mark.model
def test_a_server_lives_as_long_as_its_block(local_server):
    with LocalServer(n_parallel=1, n_ctx=256) as other:
        url = other.base_url
        assert other.start() is other
        assert models(url) == [other.model]
        assert url != local_server.base_url
        with pytest.raises(LocalModelError, match="port is free"):
            LocalServer(port=int(url.split(":")[-1].removesuffix("/v1"))).start()
    assert not other.running
    other.stop()
    with pytest.raises(openai.APIConnectionError):
        models(url)


@pytest.mark.model
def test_one_shared_server_whoever_asks_first(local_server, monkeypatch):
    started = []
    monkeypatch.setattr(server, "_shared", None)
    monkeypatch.setattr(LocalServer, "start", lambda self: started.append(1) or local_server)
    got = []
    threads = [threading.Thread(target=lambda: got.append(server.shared_server())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [local_server] * 8
    assert len(started) == 1


def resident():
    """This process's memory in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.whole_form("it starts a server of its own and has it read long prompts")
@pytest.mark.model
def test_prompts_that_were_read_are_not_kept_without_end(monkeypatch):
    # llama.cpp's own limit is 8 GiB; a prompt of these takes 9 MiB.
    monkeypatch.setattr(server, "_PROMPT_CACHE", 1)
    with (
        LocalServer(n_parallel=1, n_ctx=512) as small,
        openai.OpenAI(base_url=small.base_url, api_key="none") as client,
    ):
        sizes = []
        for word in ("box", "dog", "sun", "red"):
            prompt = [{"role": "user", "content": f"{word} " * 400}]
            client.chat.completions.create(model=small.model, messages=prompt, max_tokens=1)
            sizes.append(resident())
    assert sizes[-1] - sizes[0] < 12


@pytest.mark.whole_form("a process of its own; a forked one uses the server in the short form")
def test_it_is_silent_and_ends_with_the_process():
    code = (
        "import openai; from ec_agent.local import shared_server; s = shared_server(); "
        "c = openai.OpenAI(base_url=s.base_url, api_key='none'); "
        "c.chat.completions.create(model=s.model, messages=[{'role': 'user', 'content': 'hi'}], max_tokens=4)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.model
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_uses_its_parents_server():
    code = """
import os
import openai
from ec_agent.local import shared_server
url = shared_server().base_url
ask = lambda: openai.OpenAI(base_url=shared_server().base_url, api_key="none").models.list()
child = os.fork()
if child == 0:
    ask()
    shared_server().stop()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
ask()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "7"
