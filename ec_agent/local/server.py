"""A llama.cpp server inside this process. It offers the OpenAI API on a port of 127.0.0.1."""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ec_agent.errors import ConfigError, LocalModelError
from ec_agent.local.fetch import fetch_model, larger_model_path
from ec_agent.local.openmp import load_openmp
from ec_agent.local.shared_prompts import PromptSpreader
from ec_agent.support.checks import file_path, mapping, or_none, repr_of, seconds, whole
from ec_agent.support.extras import installing

MODEL_NAME = "SmolLM2-135M-Instruct"
MODEL_VARIABLE = "EC_AGENT_LOCAL_MODEL"
LARGER = "larger"  # as a value of the variable: what `ec-agent fetch larger-model` fetched
HOST = "127.0.0.1"
_FIRST_ANSWER = 60.0  # seconds; it answers at once
# MiB, enough for about 20,000 tokens of the embedded model. llama.cpp's default is 8 GiB of this process's memory.
_PROMPT_CACHE = 512
_SILENT = -1  # llama.cpp prints messages whose level is at most this; all levels are 0 or more


class LocalServer:
    """A server for one GGUF model, on 127.0.0.1 and without a key.

    Use it as a context manager, or call ``start()`` and ``stop()``. It stops when the process ends. Prompts that begin
    with the same tokens, such as a system prompt and examples, are processed once per slot and then cached. ``spread``
    has a prompt processed once for all slots.

    After a fork, the child process uses the server of its parent. The child must end through ``os._exit``, as
    ``multiprocessing`` does, because llama.cpp's exit handlers wait for threads that only the parent has.

    Args:
        model_path: a GGUF file. ``None`` means the embedded model, which is downloaded at the start (``fetch_model``).
        port: the port to listen on. 0 means any free port.
        n_parallel: number of slots: how many requests are served at once. Further requests wait.
        n_ctx: context in tokens, divided evenly among the slots: 8192 for 4 slots gives each 2048.
        n_threads: CPU threads. With one, the speed hardly changes when other processes run; with two it drops sharply.

    Attributes:
        model: name of the model, for requests.

    Raises:
        ConfigError: an argument has a wrong value.
    """

    def __init__(
        self,
        model_path: Path | None = None,
        *,
        port: int = 0,
        n_parallel: int = 4,
        n_ctx: int = 8192,
        n_threads: int = 1,
    ) -> None:
        for name, value in (("n_parallel", n_parallel), ("n_ctx", n_ctx), ("n_threads", n_threads)):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 1 << 31:
                raise ConfigError(f"{name}={repr_of(value)} must be at least 1; leave it out for the default")
        whole("port", port, 0, 65535)
        model_path = or_none("model_path", model_path, file_path, "a GGUF file, or None")
        self.model = MODEL_NAME if model_path is None else model_path.stem
        self._model_path = model_path
        self._port = port
        self._n_parallel = n_parallel
        self._n_ctx = n_ctx
        self._n_threads = n_threads
        self._server: Any = None
        self._prompts: PromptSpreader | None = None
        self._saved: Path | None = None
        self._base_url: str | None = None

    @property
    def base_url(self) -> str:
        """The address for an OpenAI client, ending in ``/v1``.

        Raises:
            LocalModelError: the server is not running.
        """
        if self._base_url is None:
            raise LocalModelError("the local server is not running; call start(), or use it in a `with` block")
        return self._base_url

    @property
    def running(self) -> bool:
        """Whether the server is running."""
        return self._base_url is not None

    def start(self) -> Self:
        """Load the model and listen for requests. It takes about 1 s if the model was downloaded before.

        If the server is running already, nothing happens.

        Raises:
            LocalModelError: the ``local`` extra is not installed, or the model cannot be downloaded or loaded.
        """
        if self.running:
            return self
        xllamacpp = _import_xllamacpp()
        path = self._model_path or fetch_model()
        if not path.is_file():
            raise LocalModelError(f"there is no model at {path}; leave model_path out to use the embedded model")
        self._saved = Path(tempfile.mkdtemp(prefix="ec_agent-slots-"))
        try:
            self._server = xllamacpp.Server(self._params(xllamacpp, path))
        except Exception as error:  # xllamacpp raises errors of many types
            self.stop()
            raise LocalModelError(
                f"llama.cpp could not serve {path.name} on {HOST}:{self._port or 'a free port'} ({error}); "
                "check that the file is a GGUF model, the port is free and memory is left"
            ) from error
        self._base_url = f"{self._server.listening_address}/v1"
        self._prompts = PromptSpreader(self._server.listening_address, self._saved)
        # Its loop begins on a thread of its own. If it is stopped before it does, its end is waited for in vain.
        self._prompts.await_answer(_FIRST_ANSWER)
        _started.add(self)
        return self

    def stop(self) -> None:
        """Stop the server and free the model's memory. If it is not running, nothing happens."""
        self._base_url = self._prompts = None
        self._server = None
        _started.discard(self)
        if self._saved is not None:
            shutil.rmtree(self._saved, ignore_errors=True)
            self._saved = None

    def spread(self, request: Mapping[str, Any], timeout: float = 600.0) -> None:
        """Process a prompt once and cache it in every idle slot, before several requests with this prompt come.

        A single request does not get faster. Other prompts that idle slots had cached are overwritten. If the server
        refuses, nothing is raised: each slot processes the prompt itself.

        Args:
            request: the JSON of a chat completion, as it will be sent.
            timeout: seconds for each of the few requests to the server.

        Raises:
            ConfigError: an argument has a wrong value.
        """
        mapping("request", request, "the JSON of a chat completion, as a dict")
        seconds("timeout", timeout)
        if (prompts := self._prompts) is not None:
            prompts.spread(request, timeout)

    def _disown(self) -> None:
        # After a fork, the child has this object, but not the server's threads. Freeing the object would wait for the
        # threads for ever. With one more reference it is never freed.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._server))
        self._prompts = self._saved = None  # a thread of the parent may hold its lock, and the folder is the parent's

    def _params(self, xllamacpp: Any, path: Path) -> Any:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {self.model}
        params.hostnames = [HOST]
        params.port = self._port
        params.n_parallel = self._n_parallel
        params.n_ctx = self._n_ctx
        params.cache_ram_mib = _PROMPT_CACHE
        params.slot_save_path = f"{self._saved}{os.sep}"
        params.cpuparams.n_threads = self._n_threads
        params.cpuparams_batch.n_threads = self._n_threads
        params.verbosity = _SILENT
        params.ui = False
        return params

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _import_xllamacpp() -> Any:
    load_openmp()
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise LocalModelError(
            f"the embedded model needs xllamacpp ({error}); run: {installing('ec-agent[local]')}"
        ) from error


_started: weakref.WeakSet[LocalServer] = weakref.WeakSet()
_shared: LocalServer | None = None
_shared_lock = threading.Lock()


def shared_model() -> Path | None:
    """Return the GGUF file that this process's shared server serves by the environment; ``None``: the embedded model.

    ``EC_AGENT_LOCAL_MODEL`` is the path of a file, or ``larger`` for what ``ec-agent fetch larger-model`` fetched.
    """
    named = os.environ.get(MODEL_VARIABLE)
    if not named:
        return None
    return larger_model_path() if named == LARGER else Path(named).expanduser()


def shared_model_name() -> str:
    """Return the name of the model that this process's shared server serves."""
    path = shared_model()
    return MODEL_NAME if path is None else path.stem


def shared_server() -> LocalServer:
    """Return the server that this process shares. It is started at the first call and stopped at exit. Thread-safe.

    It serves the embedded model, or the one that ``EC_AGENT_LOCAL_MODEL`` names (``shared_model``). If the embedded
    model was never downloaded on this machine, the first call downloads it, which may take minutes; another model is
    never downloaded here.

    Raises:
        LocalModelError: the model cannot be downloaded or loaded, or there is no such file.
    """
    global _shared
    with _shared_lock:
        if _shared is None or not _shared.running:
            path = shared_model()
            if path is not None and not path.is_file():
                raise LocalModelError(
                    f"{MODEL_VARIABLE} is {os.environ[MODEL_VARIABLE]!r}, and there is no file {path}; run "
                    f"`ec-agent fetch larger-model` for {LARGER!r}, or name a GGUF file"
                )
            _shared = LocalServer(path).start()
        return _shared


def serving(base_url: str) -> LocalServer | None:
    """The server of this process with that address, if one runs."""
    return next((server for server in list(_started) if server._base_url == base_url), None)


def _stop_all() -> None:
    for server in list(_started):
        server.stop()


def _after_fork() -> None:
    global _shared_lock
    for server in list(_started):
        server._disown()
    _shared_lock = threading.Lock()  # another thread may have held the lock during the fork; nobody would release it


atexit.register(_stop_all)  # while the modules that the server's threads use are still there
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
