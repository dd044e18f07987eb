"""Give each rollout a store of its own: it reads from the real store, and its writes go to the overlay alone.

The winner's writes are put into the real store after the choice.
"""

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

_ALL = 2**31 - 1  # the largest limit that databases accept
_NOT_PROVIDED = "NOT_PROVIDED"  # stands for NOT_PROVIDED in `StoreOverlay.writes`, which must be plain

# One operation: what to ask the real store, and a function that makes the result from its answers.
_Step = tuple[Sequence[Op], Callable[..., Result]]


class StoreOverlay(BaseStore):
    """A store that reads from another store, and keeps all writes to itself.

    As in LangGraph's own stores, every read of a batch sees the state before the batch, and of several writes to one
    key in a batch the last one counts. Results are copies: changing one does not change the store.

    Args:
        base: the store to read from. No write reaches it.
    """

    def __init__(self, base: BaseStore) -> None:
        core: Any = base
        while isinstance(getattr(core, "_store", None), BaseStore):  # the LangGraph server wraps its store
            core = core._store
        self.supports_ttl = base.supports_ttl
        self.ttl_config = base.ttl_config
        self.index_config: IndexConfig | None = getattr(core, "index_config", None)
        self._base = base
        # An InMemoryStore also lists empty namespaces, and a search gives the oldest items first. Stores in databases
        # leave empty namespaces out, and give the newest first.
        self._in_memory = isinstance(core, InMemoryStore) or bool(getattr(core, "_in_memory", False))
        self._index = _own_index(self.index_config) if self.index_config else None
        self._own = InMemoryStore(index=self._index)
        self._written: dict[tuple[tuple[str, ...], str], bool] = {}  # False: deleted
        self._log: list[list[Any]] = []
        self._lock = Lock()

    @property
    def writes(self) -> list[list[Any]]:
        """All puts and deletes in order, each ``[namespace, key, value, index, ttl]``; `put_ops` turns them back."""
        with self._lock:
            return deepcopy(self._log)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run the operations; writes go to the overlay only."""
        ops = [_copied(op) for op in ops]
        if self._index:
            # Embeds the texts, which may take long, before the lock is taken. `_Memo` keeps the results.
            InMemoryStore(index=self._index).batch(ops)
        steps, asked = self._plan(ops)
        found = self._base.batch(asked) if asked else []
        self._write(ops)
        return _results(steps, found)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Run the operations; writes go to the overlay only."""
        ops = [_copied(op) for op in ops]
        if self._index:
            await InMemoryStore(index=self._index).abatch(ops)
        steps, asked = self._plan(ops)
        found = await self._base.abatch(asked) if asked else []
        self._write(ops)
        return _results(steps, found)

    def _plan(self, ops: list[Op]) -> tuple[list[_Step], list[Op]]:
        with self._lock:  # one lock for all reads of the batch: a write of another thread comes before it or after it
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
                if self._in_memory:  # it fills the result up with items without a vector; databases leave these out
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
            ordered = sorted(names, key=None if self._in_memory else ".".join)  # databases store and sort joined text
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
    """Turn `StoreOverlay.writes` back into operations for a store's ``batch`` or ``abatch``.

    Give them to the store one at a time: an `InMemoryStore` with an index refuses a batch with two equal texts.
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
    # SqliteStore reads its paths from another key than other stores; "__tokenized_fields" has them in parsed form.
    paths = [path for path, _ in config.get("__tokenized_fields") or ()] or config.get("fields")
    return {**config, "embed": _Memo(ensure_embeddings(config.get("embed"))), "fields": paths}


class _Memo(Embeddings):
    """Embeds each text only once, so that texts that were embedded in advance need no waiting under the lock."""

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
