"""Arrow lists of every kind are scored as the library scores each rollout, bit for bit, and what is none is refused."""

from __future__ import annotations

import pickle
import re
import sys

import numpy as np
import pyarrow as pa
import pytest

from ec_agent import ConfigError, HEPConfig, LogprobsError, Trajectory, entropy_centroid, token_entropy
from ec_agent.bulk import lists as module
from ec_agent.bulk import score_lists
from ec_agent.bulk.lists import column_of
from ec_agent.numbers.many_timelines import SWEEP
from ec_agent.support.extras import installing

RNG = np.random.default_rng(3)
TIMELINES = [RNG.standard_exponential(length).astype(np.float32).tolist() for length in (40, 0, 1, 300, 2, 0, 77)]
TIMELINES[3][5] = TIMELINES[3][299] = None
TIMELINES[4] = [None, None]
USUAL = "centroid_1_80_2"


def centroids(timelines, config):
    return [entropy_centroid(each, config) for each in timelines]


def as_lists(timelines, of=None, kind=pa.list_):
    return pa.array(timelines, kind(of or pa.float32()))


class Tensors(pa.ExtensionType):
    """A type of somebody else's, stored as lists."""

    def __init__(self):
        super().__init__(pa.list_(pa.float32()), "a test's lists")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


KINDS = {
    "list": as_lists,
    "float64": lambda rows: as_lists(rows, pa.float64()),
    "large list": lambda rows: as_lists(rows, kind=pa.large_list),
    "list view": lambda rows: as_lists(rows, kind=pa.list_view),
    "large list view": lambda rows: as_lists(rows, kind=pa.large_list_view),
    "NaN for null": lambda rows: as_lists([[np.nan if v is None else v for v in row] for row in rows]),
    "chunks": lambda rows: pa.chunked_array([as_lists(rows[:2]), as_lists([]), as_lists(rows[2:])]),
    "a slice": lambda rows: as_lists([[9.0], *rows, [9.0]])[1:-1],
    "a slice of views": lambda rows: as_lists([[9.0], *rows, [9.0]], kind=pa.list_view)[1:-1],
    "an extension": lambda rows: pa.ExtensionArray.from_storage(Tensors(), as_lists(rows)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [1, 50, module.PART])
def test_every_kind_of_list_gives_the_librarys_own_bits(kind, part, monkeypatch):
    monkeypatch.setattr(module, "PART", part)
    scores = score_lists(KINDS[kind](TIMELINES))
    assert scores.column_names == [column_of(config) for config in SWEEP]
    for config in SWEEP:
        assert scores[column_of(config)].to_pylist() == centroids(TIMELINES, config)
    assert scores[USUAL].to_pylist() == [Trajectory.from_entropies(each).centroid() for each in TIMELINES]


def test_whole_numbers_and_lists_of_a_fixed_size():
    rows = [[1, 0, 3], [2, 2, 0]]
    expected = centroids(rows, HEPConfig())
    for kind in (pa.list_(pa.int64()), pa.list_(pa.uint8()), pa.list_(pa.float64(), 3)):
        assert score_lists(pa.array(rows, kind), [HEPConfig()])[USUAL].to_pylist() == expected


@pytest.mark.parametrize(
    "rows", [[], [[], []], [[None], []]], ids=["no rollout", "only empty ones", "nothing but unknown tokens"]
)
def test_nothing_to_score_is_null_and_not_0(rows):
    for given in (pa.array(rows, pa.list_(pa.float32())), pa.array(rows, pa.list_(pa.null()))):
        assert score_lists(given)[USUAL].to_pylist() == [None] * len(rows)
    assert score_lists(pa.chunked_array([], pa.list_(pa.float32()))).num_rows == 0


def logprobs(tokens, k):
    drawn = -np.sort(RNG.standard_exponential((tokens, k)).cumsum(axis=1), axis=1)
    return drawn.astype(np.float32).tolist()


NESTED = [
    [*logprobs(30, 5), *logprobs(7, 20)],
    [],
    [None, *logprobs(20, 3), [], [-0.5], [-np.inf, -0.1], [None, -0.2]],
    logprobs(1, 1),
    [None],
]


def of_tokens(tokens):
    entropies = [
        np.nan if not token else token_entropy([np.nan if v is None else v for v in token]) for token in tokens
    ]
    return entropy_centroid(entropies)


@pytest.mark.parametrize("part", [1, 100, module.PART])
@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.list_(pa.float32())),
        pa.large_list(pa.large_list(pa.float64())),
        pa.list_(pa.list_view(pa.float32())),  # a cast of these to lists loses values where one is null
        pa.large_list_view(pa.list_(pa.float32())),
    ],
    ids=str,
)
def test_top_logprobs_give_the_bits_of_token_entropy(kind, part, monkeypatch):
    monkeypatch.setattr(module, "PART", part)
    scores = score_lists(pa.array(NESTED, kind), [HEPConfig()], top_logprobs=True)
    assert scores[USUAL].to_pylist() == [of_tokens(each) for each in NESTED]


def test_top_logprobs_of_fixed_size_with_a_token_that_has_none():
    rows = [[*logprobs(20, 5), None, *logprobs(20, 5)]]
    given = pa.array(rows, pa.list_(pa.list_(pa.float32(), 5)))
    assert score_lists(given, top_logprobs=True)[USUAL].to_pylist() == [of_tokens(rows[0])]
    for empty in (pa.array([[None, None], []]), pa.array([[[]], []])):
        assert score_lists(empty, top_logprobs=True)[USUAL].to_pylist() == [None, None]


REFUSED = {
    "a row a token": (pa.array([1.0, 2.0]), r"holds double, and no lists.*ec-agent traces export"),
    "lists within lists": (pa.array([[[1.0, 2.0]]]), "holds lists within lists.*say so with top_logprobs=True"),
    "texts": (pa.array([["1.0"]]), "holds lists of string.*as float32 or float64"),
    "truths": (pa.array([[True]]), "holds lists of bool"),
    "records": (pa.array([[{"entropy": 1.0}]]), "holds lists of struct"),
    "decimals": (pa.array([[1]], pa.list_(pa.decimal128(5, 2))), "holds lists of decimal"),
    "half precision": (pa.array([np.ones(2, np.float16)], pa.list_(pa.float16())), "half precision.*float32"),
    "no row at all known": (pa.nulls(3), "holds null, and no lists"),
    "a null row": (pa.array([[1.0], [], None, [2.0]]), "row 2 is null.*leave the row out"),
    "a null row in a later chunk": (pa.chunked_array([[[1.0]], [[2.0], None]]), "row 2 is null"),
    "infinity": (pa.array([[1.0], [], [0.5, np.inf], [-np.inf]]), "row 2 has an infinite entropy; write null or NaN"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_list_of_entropies_is_refused(what):
    given, words = REFUSED[what]
    with pytest.raises(LogprobsError, match=words) as refused:
        score_lists(given)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)  # it comes from another process


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pa.array([[1.0]]), "no list for each token"),
        (pa.array([1.0]), "and no lists"),
        (pa.array([[["a"]]]), "lists of string"),
        (pa.array([[[1.0]], None]), "row 1 is null"),
    ],
    ids=["entropies", "numbers", "texts", "a null row"],
)
def test_what_is_no_list_of_top_logprobs_is_refused(given, words):
    with pytest.raises(LogprobsError, match=words):
        score_lists(given, top_logprobs=True)


@pytest.mark.parametrize("given", [[[1.0]], np.ones((2, 3)), pa.table({"entropy": [[1.0]]}), None, "entropy"])
def test_what_is_no_arrow_array_is_refused(given):
    with pytest.raises(ConfigError, match=r"(?s)lists is .*; give a pyarrow Array or ChunkedArray of lists"):
        score_lists(given)


def test_settings_are_columns():
    given = pa.array([[1.0, 0.0]])
    own = [HEPConfig(0.5, 80, 2), HEPConfig(0.50000001, 80, 2), HEPConfig(100, 0, 10**6)]
    names = ["centroid_0.5_80_2", "centroid_0.50000001_80_2", "centroid_100_0_1000000"]
    assert score_lists(given, own).column_names == names
    for wrong, words in (([], "is empty"), ([1], "contains 1"), ([HEPConfig()] * 2, "twice; give each setting once")):
        with pytest.raises(ConfigError, match=words):
            score_lists(given, wrong)


def test_without_pyarrow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=rf"needs? pyarrow; run: {re.escape(installing('ec-agent[parquet]'))}$"):
        score_lists([[1.0]])
