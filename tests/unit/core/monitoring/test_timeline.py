"""A look makes many comparisons, and is a false alarm as seldom as it says all the same."""

from __future__ import annotations

import numpy as np
import pytest

from core.monitoring.timeline import JUDGED, timeline
from core.stats.histogram import Histogram
from core.stats.profile import TableProfile
from core.stats.verdicts import DriftLimits

NIGHTS, TABLES, ROWS = 60, 6, 60
SHAPE = Histogram(edges=tuple(float(n) for n in range(1, 32)), counts=(0,) * 32, n_null=0)
EVEN = [0.0, *[1 / 32] * 32]


def drawn(rng, n_rows, shares=EVEN):
    columns = {name: SHAPE.with_bins(rng.multinomial(n_rows, shares)) for name in ("a", "b")}
    return TableProfile(columns=columns)


def looked(rng, limits, shares=EVEN):
    """Columns that moved by a look at six tables with few rows a day."""
    moved = []
    for _ in range(TABLES):
        days = {f"2026-01-0{day}": drawn(rng, ROWS, shares) for day in (1, 2)}
        moved += timeline("source", drawn(rng, 28 * ROWS), days, limits).moved()
    return moved


@pytest.mark.slow
def test_a_look_at_several_tables_is_a_false_alarm_in_five_of_a_hundred_nights_at_most():
    """Eleven of sixty were, when each comparison had the whole of alpha."""
    rng = np.random.default_rng(7)
    limits = DriftLimits().shared_by(TABLES * JUDGED)
    false = sum(bool(looked(rng, limits)) for _ in range(NIGHTS))
    assert false <= 0.05 * NIGHTS


def test_limits_that_are_shared_still_find_what_moved_by_a_third():
    shares = [0.0, *[0.42 / 24] * 24, *[0.58 / 8] * 8]
    limits = DriftLimits().shared_by(TABLES * JUDGED)
    moved = looked(np.random.default_rng(8), limits, shares)
    assert len(moved) == 2 * TABLES
