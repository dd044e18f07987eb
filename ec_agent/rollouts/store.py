"""A store over a store: one rollout's writes to long-term memory stay with the rollout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from itertools import islice
from threading import Lock
from typing import Any

from langchain_core.embeddings import Embeddings
from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    GetOp,
    IndexConfig,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    ensure_embeddings,
)
from langgraph.store.memory import InMemoryStore

_ALL = 2**31 - 1  # as a limit; databases take it too
_NOT_PROVIDED = "NOT_PROVIDED"  # what NOT_PROVIDED is in `StoreOverlay.writes`

_Step = tuple[Sequence[Op], Callable[..., Result]]  # what to ask the store below, and what its results make


class StoreOverlay(BaseStore):
    """Reads through to a store, and keeps all writes to itself.

    As in langgraph's own stores, every read of a batch sees the state before the batch, and of several writes
    to one key in a batch the last one counts. What is read is a copy, so nobody can change the store through it.

    Args:
        below: The store to read from; no write reaches it.
    """

    def __init__(self, below: BaseStore) -> None:
        core: Any = below
        while isinstance(getattr(core, "_store", None), BaseStore):  # the LangGraph server's store is in a wrapper
            core = core._store
        self.supports_ttl = below.supports_ttl
        self.ttl_config = below.ttl_config
        self.index_config: IndexConfig | None = getattr(core, "index_config", None)
        self._below = below
        # An InMemoryStore lists namespaces that are empty and searches the oldest first; databases do neither.
        self._in_memory = isinstance(core, InMemoryStore) or bool(getattr(core, "_in_memory", False))
        self._index = _own_index(self.index_config) if self.index_config else None
        self._own = InMemoryStore(index=self._index)
        self._written: dict[tuple[tuple[str, ...], str], bool] = {}  # False: deleted
        self._log: list[list[Any]] = []
        self._lock = Lock()

    @property
    def writes(self) -> list[list[Any]]:
        """All puts and deletes in order, each ``[namespace, key, value, index, ttl]``; see `put_ops`."""
        with self._lock:
            return deepcopy(self._log)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run the operations, the writes on the overlay alone."""
        ops = [_copied(op) for op in ops]
        if self._index:
            InMemoryStore(index=self._index).batch(ops)  # embeds the texts before the lock is taken
        steps, asked = self._plan(ops)
        found = self._below.batch(asked) if asked else []
        self._write(ops)
        return _results(steps, found)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Run the operations, the writes on the overlay alone."""
        ops = [_copied(op) for op in ops]
        if self._index:
            await InMemoryStore(index=self._index).abatch(ops)
        steps, asked = self._plan(ops)
        found = await self._below.abatch(asked) if asked else []
        self._write(ops)
        return _results(steps, found)

    def _plan(self, ops: list[Op]) -> tuple[list[_Step], list[Op]]:
        with self._lock:  # over all reads of what is written here: a write of another thread comes before or after
            steps = [self._step(op) for op in ops]
        return steps, [ask for asks, _ in steps for ask in asks]

    def _step(self, op: Op) -> _Step:
        if isinstance(op, PutOp):
            return [], lambda: None
        if isinstance(op, GetOp):
            if (op.namespace, op.key) not in self._written:
                return [op], _as_found
            item = self._own.batch([op])[0]
            return [], lambda: item
        if isinstance(op, SearchOp):
            return self._search(op)
        if isinstance(op, ListNamespacesOp):
            return self._list_namespaces(op)
        raise ValueError(f"Unknown operation type: {type(op)}")

    def _search(self, op: SearchOp) -> _Step:
        hidden = {at for at in self._written if at[0][: len(op.namespace_prefix)] == op.namespace_prefix}
        if not hidden:
            return [op], _as_found
        own: Any = self._own.batch([op._replace(limit=_ALL, offset=0)])[0]

        def merge(found: list[SearchItem]) -> Result:
            below = [item for item in found if (item.namespace, item.key) not in hidden]
            end = op.offset + op.limit
            if op.query and self._index:
                scored = [item for item in [*below, *own] if item.score is not None]
                best: list[Any] = sorted(scored, key=lambda item: item.score or 0.0, reverse=True)[op.offset : end]
                if self._in_memory:  # fills up with what has no vector, whatever the offset; databases leave it out
                    best += [item for item in [*below, *own] if item.score is None][: op.limit - len(best)]
                return best
            if self._in_memory:
                return [*below, *own][op.offset : end]
            return [*sorted(own, key=lambda item: item.updated_at, reverse=True), *below][op.offset : end]

        return [op._replace(limit=op.offset + op.limit + len(hidden), offset=0)], merge

    def _list_namespaces(self, op: ListNamespacesOp) -> _Step:
        if not self._written:
            return [op], _as_found
        every = op._replace(max_depth=None, limit=_ALL, offset=0)
        own: Any = self._own.batch([every])[0]
        hidden = set(self._written)
        emptied: set[tuple[str, ...]] = set()
        if not self._in_memory:
            emptied = {at[0] for at in hidden} - {at[0] for at, kept in self._written.items() if kept}

        def merge(found: list[tuple[str, ...]], *left: list[SearchItem]) -> Result:
            alive = {item.namespace for items in left for item in items if (item.namespace, item.key) not in hidden}
            names = {*found, *own} - (emptied - alive)
            if op.max_depth is not None:
                names = {name[: op.max_depth] for name in names}
            ordered = sorted(names, key=None if self._in_memory else ".".join)  # databases sort the joined text
            return ordered[op.offset : op.offset + op.limit]

        return [every, *(SearchOp(name, limit=_ALL, refresh_ttl=False) for name in emptied)], merge

    def _write(self, ops: list[Op]) -> None:
        if puts := [op for op in ops if isinstance(op, PutOp)]:
            with self._lock:
                self._own.batch(puts)
                for op in puts:
                    self._written[op.namespace, op.key] = op.value is not None
                    self._log.append([list(op.namespace), op.key, op.value, _plain(op.index), _plain(op.ttl)])


def put_ops(writes: Iterable[Sequence[Any]]) -> list[PutOp]:
    """The operations that `StoreOverlay.writes` lists, to be given to a store's ``batch`` or ``abatch``.

    An `InMemoryStore` with an index refuses a batch in which two texts are equal: give it one write at a time.
    """
    return [
        PutOp(tuple(namespace), key, deepcopy(value), _original(index), _original(ttl))
        for namespace, key, value, index, ttl in writes
    ]


def _original(option: Any) -> Any:
    return NOT_PROVIDED if option == _NOT_PROVIDED else option


def _plain(option: Any) -> Any:
    if option is NOT_PROVIDED:
        return _NOT_PROVIDED
    return list(option) if isinstance(option, (list, tuple)) else option


def _copied(op: Op) -> Op:
    return op._replace(value=deepcopy(dict(op.value))) if isinstance(op, PutOp) and op.value is not None else op


def _as_found(result: Result) -> Result:
    return result


def _results(steps: list[_Step], found: list[Result]) -> list[Result]:
    rest = iter(found)
    return deepcopy([finish(*islice(rest, len(asks))) for asks, finish in steps])


def _own_index(config: Any) -> Any:
    # SqliteStore takes its paths from another key than the rest; what it made of them is under this one.
    paths = [path for path, _ in config.get("__tokenized_fields") or ()] or config.get("fields")
    return {**config, "embed": _Memo(ensure_embeddings(config.get("embed"))), "fields": paths}


class _Memo(Embeddings):
    """Embeds a text once, so that texts embedded in advance are at hand without waiting."""

    def __init__(self, model: Embeddings) -> None:
        self._model = model
        self._documents: dict[str, list[float]] = {}
        self._queries: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if new := [text for text in texts if text not in self._documents]:
            self._documents.update(zip(new, self._model.embed_documents(new), strict=True))
        return [self._documents[text] for text in texts]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        if new := [text for text in texts if text not in self._documents]:
            self._documents.update(zip(new, await self._model.aembed_documents(new), strict=True))
        return [self._documents[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        if text not in self._queries:
            self._queries[text] = self._model.embed_query(text)
        return self._queries[text]

    async def aembed_query(self, text: str) -> list[float]:
        if text not in self._queries:
            self._queries[text] = await self._model.aembed_query(text)
        return self._queries[text]
