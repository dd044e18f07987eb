"""Scores Arrow lists, one list a rollout. A pure function, for this process, worker processes, Ray Data or others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ec_agent.errors import ConfigError, LogprobsError
from ec_agent.numbers.entropy import FloatArray, token_entropy
from ec_agent.numbers.many_timelines import SWEEP, score_many
from ec_agent.numbers.phases import HEPConfig, IntArray
from ec_agent.support.checks import flag, instance, several
from ec_agent.support.lazy import needed

if TYPE_CHECKING:
    import pyarrow as pa

PART = 1 << 20
"""Number of values processed at a time. A value is an entropy, or the logprob of one candidate."""

_ENTROPIES = "one list of numbers for each rollout, its tokens' entropies in nats"
_LOGPROBS = (
    "one list for each rollout, and in it one list of numbers for each token, the logprobs of its candidates, which is "
    "what top_logprobs means; without it, lists of entropies are read"
)


def score_lists(
    lists: pa.Array | pa.ChunkedArray, configs: Sequence[HEPConfig] = SWEEP, *, top_logprobs: bool = False
) -> pa.Table:
    """Compute the entropy centroids of many rollouts under many settings, from Arrow lists.

    Each result equals that of ``ec_agent.entropy_centroid`` for the rollout and the setting, bit for bit. The function
    is pure: no result depends on how rows are divided into batches.

    Args:
        lists: one list of numbers for each of R rollouts: the entropies of its tokens, in nats, null or NaN where a
            token has none. A rollout without tokens is an empty list.
        configs: the settings. If left out, the 27 of ``ec_agent.numbers.many_timelines.SWEEP``.
        top_logprobs: whether ``lists`` holds logprobs instead: for each rollout one list for each token, which holds
            the natural logarithms of its candidates' probabilities. Null or empty where a token has none.

    Returns:
        R rows, and a float64 column for each setting, in their order. Its name is that of ``column_of``, such as
        ``centroid_1_80_2``. Null where a rollout has no phase: it is unscored, which is not a score of 0.

    Raises:
        LogprobsError: the values are not such lists, a row is null, or an entropy is infinite.
        ConfigError: another argument is wrong, or pyarrow is missing.

    Source: arXiv 2604.26173; docs/method.md sections 1 to 3.
    """
    pa = arrow()
    given = instance("lists", lists, (pa.Array, pa.ChunkedArray), "a pyarrow Array or ChunkedArray of lists")
    columns_of(configs)
    check_type(given.type, top_logprobs=flag("top_logprobs", top_logprobs))
    return score_rows(given, configs, top_logprobs=top_logprobs)


def score_rows(
    lists: pa.Array | pa.ChunkedArray, configs: Sequence[HEPConfig], *, top_logprobs: bool, first: int = 0
) -> pa.Table:
    """Do what ``score_lists`` does, with arguments that were checked.

    Args:
        lists: as there.
        configs: as there.
        top_logprobs: as there.
        first: number of the first row, for error messages.
    """
    pa = arrow()
    from ec_agent.bulk.arrow_numbers import nullable

    names = columns_of(configs)
    scores = [np.empty((0, len(names)))]
    for chunk in lists.chunks if isinstance(lists, pa.ChunkedArray) else [lists]:
        for rows in _parts(chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk, first):
            timelines = _from_logprobs(rows) if top_logprobs else _from_entropies(rows)
            _see_finite(timelines, first)
            scores.append(score_many(timelines.flat, configs, lengths=timelines.lengths))
            first += len(rows)
    return pa.table([nullable(column) for column in np.concatenate(scores).T], names=names)


def columns_of(configs: Sequence[HEPConfig]) -> list[str]:
    """Return the name of each setting's column.

    Raises:
        ConfigError: ``configs`` is empty, holds something else than ``HEPConfig``, or holds a setting twice.
    """
    given = several("configs", configs, HEPConfig, "one HEPConfig(...) or more")
    if not given:
        raise ConfigError("configs is empty; give one HEPConfig(...) or more")
    names = [column_of(config) for config in given]
    if len(set(names)) < len(names):
        twice = next(config for config, name in zip(given, names, strict=True) if names.count(name) > 1)
        raise ConfigError(f"configs holds {twice!r} twice; give each setting once, for each is a column")
    return names


def column_of(config: HEPConfig) -> str:
    """Return the name of a setting's column: ``centroid_1_80_2``."""
    percents = (repr(each).removesuffix(".0") for each in (config.top_percent, config.bottom_percent))
    return "_".join(("centroid", *percents, str(config.consecutive_low)))


def check_type(kind: pa.DataType, name: str = "lists", *, top_logprobs: bool) -> None:
    """Check the type of a column of lists.

    Args:
        kind: the type of the column.
        name: how error messages call the column.
        top_logprobs: whether the lists hold lists of logprobs.

    Raises:
        LogprobsError: it holds something else.
    """
    pa = arrow()
    rather = _LOGPROBS if top_logprobs else _ENTROPIES
    outer = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if not _is_list(outer):
        raise LogprobsError(
            f"{name} holds {kind}, and no lists; give {rather} (`ec-agent traces export` writes such lists)"
        )
    inner = outer.value_type
    if not top_logprobs:
        if _is_list(inner):
            raise LogprobsError(
                f"{name} holds lists within lists, {kind}; give {rather}. If the inner lists are logprobs of the "
                "candidates of each token, say so with top_logprobs=True, or --top-logprobs"
            )
        _check_numbers(inner, name, rather)
    elif _is_list(inner):
        _check_numbers(inner.value_type, name, rather)
    elif not pa.types.is_null(inner):  # null: no list has a value
        raise LogprobsError(f"{name} holds {kind}, which has no list for each token; give {rather}")


def arrow() -> Any:
    """Return the module ``pyarrow``.

    Raises:
        ConfigError: it is not installed.
    """
    return needed("pyarrow", "scoring Arrow lists needs", "ec-agent[parquet]")


def sizes_of(rows: pa.Array) -> IntArray:
    """Return how many values each row holds, shape ``(R,)``; of lists within lists, all their values and the lists."""
    lengths = _lengths(rows)
    inner = rows.flatten()
    if not _is_list(inner.type):
        return lengths
    ends = np.concatenate(([0], np.cumsum(_lengths(inner))))
    bounds = np.concatenate(([0], np.cumsum(lengths)))
    sizes: IntArray = np.diff(ends[bounds]) + lengths
    return sizes


def _is_list(kind: pa.DataType) -> bool:
    types = arrow().types
    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(test(kind) for test in tests)


def _check_numbers(kind: pa.DataType, name: str, rather: str) -> None:
    types = arrow().types
    if types.is_float16(kind):
        raise LogprobsError(
            f"{name} holds numbers of half precision, which is so coarse that it changes centroids; give float32 or "
            "float64"
        )
    if not (types.is_floating(kind) or types.is_integer(kind) or types.is_null(kind)):
        raise LogprobsError(f"{name} holds lists of {kind}; give {rather}, as float32 or float64")


class _Timelines(NamedTuple):
    """Timelines, one after the other.

    Attributes:
        flat: shape ``(sum of lengths,)``, nats, NaN where a token has no entropy.
        lengths: shape ``(R,)``, tokens of each.
    """

    flat: FloatArray
    lengths: IntArray


def _parts(rows: pa.Array, first: int) -> Iterator[pa.Array]:
    """Divide rows into parts of about ``PART`` values; a longer row is a part alone."""
    if rows.null_count:
        row = first + int(np.flatnonzero(rows.is_null().to_numpy(zero_copy_only=False))[0])
        raise LogprobsError(
            f"row {row} is null, so its tokens are unknown; leave the row out, or write an empty list for a rollout "
            "without tokens"
        )
    start, ends = 0, np.cumsum(sizes_of(rows))
    while start < len(rows):
        done = int(ends[start - 1]) if start else 0
        stop = max(int(ends.searchsorted(done + PART, side="right")), start + 1)
        yield rows.slice(start, stop - start)
        start = stop


def _lengths(lists: pa.Array) -> IntArray:
    """Return the length of each list, shape ``(R,)``; 0 for null."""
    from ec_agent.bulk.arrow_numbers import lengths_of

    if not _is_list(lists.type):  # of type null: nothing is known of any
        return np.zeros(len(lists), np.int64)
    return lengths_of(lists)


def _from_entropies(rows: pa.Array) -> _Timelines:
    from ec_agent.bulk.arrow_numbers import floats_of

    return _Timelines(floats_of(rows.flatten()), _lengths(rows))


def _from_logprobs(rows: pa.Array) -> _Timelines:
    from ec_agent.bulk.arrow_numbers import floats_of

    tokens = rows.flatten()
    counts = _lengths(tokens)
    logprobs = floats_of(tokens.flatten() if _is_list(tokens.type) else tokens)
    starts = np.cumsum(counts) - counts
    flat = np.full(len(tokens), np.nan)
    # Tokens with equally many candidates make a matrix without padding, however long the longest list is.
    for count in np.unique(counts[counts > 0]).tolist():
        places = (counts == count).nonzero()[0]
        flat[places] = token_entropy(logprobs[starts[places][:, np.newaxis] + np.arange(count)])
    return _Timelines(flat, _lengths(rows))


def _see_finite(timelines: _Timelines, first: int) -> None:
    flat = timelines.flat
    if len(flat) and np.isinf(flat).any():
        token = int(np.isinf(flat).nonzero()[0][0])
        row = int(np.cumsum(timelines.lengths).searchsorted(token, side="right"))
        raise LogprobsError(
            f"row {first + row} has an infinite entropy; write null or NaN where a token has no entropy"
        )
