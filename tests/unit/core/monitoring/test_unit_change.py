"""Changes of unit are told from values that grew, at every size and spread."""

from __future__ import annotations

import numpy as np
import pytest

from core.monitoring.unit_change import unit_change
from core.stats.histogram import fine_edges_of, histogram_of

N_REFERENCE = 20_000
UNITS = (10.0, 100.0, 1_000.0, 0.01, 60.0)
GROWN = {
    "by half": lambda v: v * 1.5,
    "twofold": lambda v: v * 2,
    "threefold": lambda v: v * 3,
    "halved": lambda v: v / 2,
    "by a fixed amount": lambda v: v + 50,
    "more for the rich": lambda v: v**1.3,
    "not at all": lambda v: v,
}


def world(seed, spread, n):
    rng = np.random.default_rng(seed)
    reference = rng.lognormal(3.0, spread, N_REFERENCE)
    edges = fine_edges_of(reference)
    return histogram_of(reference, edges), edges, rng, rng.lognormal(3.0, spread, n)


@pytest.mark.parametrize("factor", UNITS)
@pytest.mark.parametrize("n", [200, 20_000])
def test_a_factor_of_units_is_found(factor, n):
    reference, edges, _, values = world(1, 1.0, n)
    change = unit_change(reference, histogram_of(values * factor, edges))
    assert change is not None
    assert change.share == 1.0
    assert change.factor == factor if change.is_exact else np.log(change.factor / factor) <= 0


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.5])
def test_one_sender_of_two_in_another_unit_is_found_with_its_share(spread):
    reference, edges, rng, values = world(2, spread, 5_000)
    mixed = np.where(rng.random(5_000) < 0.5, values * 100, values)
    change = unit_change(reference, histogram_of(mixed, edges))
    assert change is not None
    assert change.factor == 100.0
    assert change.share == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("how", list(GROWN))
@pytest.mark.parametrize("n", [200, 20_000])
def test_values_that_grew_are_no_change_of_unit(how, n):
    for seed, spread in enumerate((0.5, 1.0, 1.5)):
        reference, edges, _, values = world(10 + seed, spread, n)
        assert unit_change(reference, histogram_of(GROWN[how](values), edges)) is None


def test_values_beyond_every_edge_say_at_least_by_how_much():
    reference, edges, _, values = world(3, 0.3, 500)
    change = unit_change(reference, histogram_of(values * 1_000, edges))
    assert change is not None
    assert not change.is_exact
    assert change.sentence().startswith("at least 10 times")


def test_a_column_of_zeros_has_no_unit():
    zeros = histogram_of(np.zeros(100), (0.0,))
    assert unit_change(zeros, histogram_of(np.ones(100), (0.0,))) is None
