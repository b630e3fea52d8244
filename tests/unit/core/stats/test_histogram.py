from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.errors import InvalidInputError
from core.stats.histogram import (
    CHUNK_ROWS,
    Categories,
    Histogram,
    categories_of,
    counts_between,
    edges_of,
    fine_edges_of,
    histogram_of,
)

EDGES = (-1.5, 0.0, 0.1, 2.0)
FLOATS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=32),
    st.sampled_from([*EDGES, -0.0, float(np.float32(0.1))]),
)
SAMPLES = hnp.arrays(np.float64, st.integers(0, 60), elements=FLOATS)
ROWS = st.lists(st.integers(0, 2**40), min_size=6, max_size=6)
TEXTS = st.lists(st.sampled_from(["a", "b", "c", None]), max_size=30)


def by_a_loop(values, edges):
    counts, n_null = [0] * (len(edges) + 1), 0
    for value in values:
        if value != value:
            n_null += 1
        else:
            counts[sum(value >= edge for edge in edges)] += 1
    return [n_null, *counts]


@given(SAMPLES, st.sampled_from([np.float32, np.float64]))
def test_counts_are_those_of_a_loop(values, dtype):
    cast = values.astype(dtype)
    assert counts_between(cast, np.array(EDGES)).tolist() == by_a_loop(cast, EDGES)


def test_chunks_add_up():
    values = np.random.default_rng(0).normal(size=2 * CHUNK_ROWS + 3)
    values[::11] = np.nan
    known = values[~np.isnan(values)]
    wanted = np.bincount(np.searchsorted(EDGES, known, side="right"), minlength=len(EDGES) + 1)
    got = counts_between(values, np.array(EDGES))
    assert got[1:].tolist() == wanted.tolist()
    assert got[0] == len(values) - len(known)


@given(ROWS, ROWS, ROWS)
def test_merging_is_commutative_associative_and_has_a_neutral(one, two, three):
    shape = Histogram(edges=EDGES, counts=(0,) * 5, n_null=0)
    a, b, c = (shape.with_bins(row) for row in (one, two, three))
    assert a.merged(b) == b.merged(a)
    assert a.merged(b).merged(c) == a.merged(b.merged(c))
    assert a.merged(a.emptied()) == a
    assert a.merged(b).n == a.n + b.n


@given(SAMPLES, st.integers(0, 60))
def test_parts_counted_apart_and_merged_are_the_whole(values, cut):
    parts = (histogram_of(part, EDGES) for part in (values[:cut], values[cut:]))
    assert next(parts).merged(next(parts)) == histogram_of(values, EDGES)


@given(TEXTS, TEXTS)
def test_merging_categories_counts_both(one, two):
    shape = Categories(categories=("a", "b"), counts=(0, 0), n_other=0, n_null=0)

    def counted(texts):
        return shape.with_bins(
            [texts.count(None), texts.count("a"), texts.count("b"), texts.count("c")]
        )

    assert counted(one).merged(counted(two)) == counted(two).merged(counted(one))
    assert counted(one).merged(counted(two)) == counted(one + two)
    assert counted(one).n == len(one)


def test_unlike_bins_are_not_added():
    numbers, others = histogram_of(np.ones(1), (0.0,)), histogram_of(np.ones(1), (0.5,))
    texts = categories_of({"a": 1})
    for one, other in ((numbers, others), (numbers, texts), (texts, numbers)):
        with pytest.raises(InvalidInputError, match="unlike bins"):
            one.merged(other)
    with pytest.raises(InvalidInputError, match="unlike bins"):
        texts.merged(categories_of({"b": 1}))


@pytest.mark.parametrize(
    "column", [histogram_of(np.ones(3), (0.0, 1.0)), categories_of({"a": 1, "b": 1})]
)
def test_a_column_survives_json(column):
    assert type(column).model_validate_json(column.model_dump_json()) == column


def test_the_most_frequent_categories_are_kept_and_the_rest_counted():
    found = categories_of({"z": 3, "y": 2, "x": 1}, n_null=1, most=2)
    assert found == Categories(categories=("y", "z"), counts=(2, 3), n_other=1, n_null=1)
    assert categories_of({}).n == 0


def test_every_value_is_counted_once():
    values = np.random.default_rng(1).normal(size=1_000)
    values[::7] = np.nan
    histogram = histogram_of(values, edges_of(values))
    assert histogram.n == 1_000
    assert histogram.n_null == np.isnan(values).sum()


def test_edges_belong_to_the_bin_above():
    assert histogram_of(np.array([1, 2]), (1.0, 2.0)).counts == (0, 1, 1)


def test_quantile_edges_fill_bins_evenly():
    values = np.random.default_rng(2).lognormal(8, 2, 10_000)
    inner = histogram_of(values, edges_of(values)).counts[1:-1]
    assert min(inner) > 900
    assert max(inner) < 1_100


def test_fine_edges_leave_no_bin_with_much_in_it():
    values = np.random.default_rng(3).lognormal(8, 2, 100_000)
    counts = histogram_of(values, fine_edges_of(values)).counts
    assert max(counts) < 0.006 * len(values)


def test_fine_edges_of_few_values_part_them_all():
    values = np.array([0.0, 1.0, 1.0, 7.0, np.nan])
    assert histogram_of(values, fine_edges_of(values)).counts == (0, 1, 2, 1)


def test_fine_edges_resolve_what_lies_far_from_zero_and_long_tails():
    rng = np.random.default_rng(4)
    for values in (1.7e9 + rng.normal(size=50_000), np.exp(rng.normal(0, 5, 50_000))):
        counts = histogram_of(values, fine_edges_of(values)).counts
        assert max(counts) < 0.01 * len(values)


@given(st.lists(st.integers(-(10**4), 10**4), min_size=1, max_size=200, unique=True))
def test_fine_edges_of_whole_numbers_are_the_numbers(numbers):
    assert fine_edges_of(np.array(numbers, dtype=float) / 100) == tuple(
        sorted(number / 100 for number in numbers)
    )


def test_no_edge_is_a_value_of_somebody():
    values = np.array([123_456.0, 765_432.0, 999_999.0])
    assert not set(edges_of(values)) & set(values.tolist())


@pytest.mark.parametrize(
    "values", [np.array([]), np.array([np.nan]), np.array([np.inf]), np.array([4.0, 4.0])]
)
def test_degenerate_columns_have_one_edge(values):
    for edges in (edges_of(values), fine_edges_of(values)):
        assert len(edges) == 1
        assert histogram_of(values, edges).n == len(values)


def test_edges_that_do_not_rise_are_refused():
    with pytest.raises(InvalidInputError, match="rise"):
        histogram_of(np.array([1.0]), (1.0, 1.0))
