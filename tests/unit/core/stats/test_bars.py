"""Bars for eyes: whole, few, and where a column moved."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.stats.bars import MISSING, MOST_BARS, OTHERS, bars_of
from core.stats.histogram import Categories, Histogram, fine_edges_of, histogram_of


def test_each_range_holds_about_a_tenth_of_the_reference():
    values = np.random.default_rng(7).lognormal(8, 2, 20_000)
    edges = fine_edges_of(values)
    before = histogram_of(values, edges)
    bars = bars_of(before, histogram_of(values * 3, edges))
    assert len(bars) == MOST_BARS
    assert [bar.before for bar in bars] == pytest.approx([0.1] * MOST_BARS, abs=0.01)
    assert bars[-1].now > 0.2
    assert bars[0].now < 0.05
    assert bars[0].label.startswith("below ")
    assert bars[-1].label.endswith(" or more")


def test_a_few_values_have_a_bar_each_and_what_came_anew_is_seen():
    before = Histogram(edges=(0.0, 1.0), counts=(0, 90, 10), n_null=0)
    now = Histogram(edges=(0.0, 1.0), counts=(5, 80, 10), n_null=5)
    assert [bar.label for bar in bars_of(before, now)] == [
        MISSING, "below 0", "0 to 1", "1 or more",
    ]  # fmt: skip


def test_many_categories_are_the_largest_of_either_side_and_the_others_together():
    names = tuple(f"c{n:02}" for n in range(30))
    counts = tuple(range(30))
    before = Categories(categories=names, counts=counts, n_other=1, n_null=0)
    now = Categories(categories=names, counts=(900, *counts[1:]), n_other=1, n_null=0)
    bars = {bar.label: bar for bar in bars_of(before, now)}
    assert len(bars) == MOST_BARS + 1
    assert bars["c00"].now > bars["c00"].before == 0
    assert bars[OTHERS].before > 0


def test_unlike_bins_are_refused():
    with pytest.raises(InvalidInputError, match="unlike bins"):
        bars_of(
            Histogram(edges=(0.0,), counts=(1, 1), n_null=0),
            Histogram(edges=(1.0,), counts=(1, 1), n_null=0),
        )


def test_no_row_is_lost():
    rng = np.random.default_rng(11)
    for n_edges in range(1, 41):
        edges = tuple(float(each) for each in range(n_edges))
        rows = rng.integers(0, 50, (2, n_edges + 2)) * rng.integers(0, 2, (2, n_edges + 2))
        shape = Histogram(edges=edges, counts=(0,) * (n_edges + 1), n_null=0)
        sides = [shape.with_bins(row) for row in rows]
        bars = bars_of(*sides)
        assert len(bars) <= MOST_BARS + 3
        shares = ([bar.before for bar in bars], [bar.now for bar in bars])
        for side, held in zip(sides, shares, strict=True):
            assert sum(held) == pytest.approx(1.0 if side.n else 0.0)
