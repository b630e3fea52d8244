from __future__ import annotations

import numpy as np
import pytest
from example_counts import examples
from scipy.stats import false_discovery_control, norm

from core.stats.histogram import Categories, ColumnProfile, Histogram, fine_edges_of, histogram_of
from core.stats.shift import Shift, shift_of
from core.stats.verdicts import (
    CORRECTIONS,
    DriftLimits,
    benjamini_hochberg,
    holm,
    threshold_of,
    verdicts_of,
)

DRAWS = 1_000
EDGES = tuple(np.round(norm.ppf(np.linspace(0, 1, 257)[1:-1]), 5).tolist())
NUMBERS = Histogram(edges=EDGES, counts=(0,) * 256, n_null=0)
TEXTS = Categories(categories=("a", "b", "c", "d"), counts=(0,) * 4, n_other=0, n_null=0)
TEXT_SHARES = (0.05, 0.6, 0.2, 0.1, 0.045, 0.005)
ANY_EFFECT = 1e-9


def number_shares(mean=0.0, missing=0.05):
    bins = np.diff(np.concatenate([[0.0], norm.cdf(EDGES, loc=mean), [1.0]]))
    return np.concatenate([[missing], bins * (1 - missing)])


def drawn(rng: np.random.Generator, n: int, **moved: float) -> dict[str, ColumnProfile]:
    """Six columns of numbers and four of texts; the first of numbers is the one that moves."""
    columns: dict[str, ColumnProfile] = {
        f"number_{place}": NUMBERS.with_bins(rng.multinomial(n, number_shares()))
        for place in range(6)
    }
    columns["number_0"] = NUMBERS.with_bins(rng.multinomial(n, number_shares(**moved)))
    return columns | {
        f"text_{place}": TEXTS.with_bins(rng.multinomial(n, TEXT_SHARES)) for place in range(4)
    }


def shifts(reference: dict[str, ColumnProfile], current: dict[str, ColumnProfile]):
    return {name: shift_of(reference[name], current[name]) for name in reference}


def alarmed(found: dict[str, Shift], limits: DriftLimits) -> set[str]:
    return {v.column for v in verdicts_of(found, limits) if v.state == "drifted"}


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 10_000, 1_000_000])
def test_false_alarms_are_at_most_five_in_a_hundred(n):
    """Any alarm in ten columns counts, and even without a least effect."""
    rng = np.random.default_rng(n)
    false = dict.fromkeys(
        [(correction, effect) for correction in CORRECTIONS for effect in (ANY_EFFECT, 0.1)], 0
    )
    for _ in range(DRAWS):
        found = shifts(drawn(rng, n), drawn(rng, n))
        for correction, effect in false:
            limits = DriftLimits(least_effect=effect, correction=correction)
            false[correction, effect] += bool(alarmed(found, limits))
    assert max(false.values()) <= 0.05 * DRAWS, false
    if n >= 2_000:
        assert false["holm", 0.1] == false["benjamini_hochberg", 0.1] == 0


@pytest.mark.slow
def test_false_alarms_do_not_come_from_edges_that_the_reference_gave():
    rng, n, false = np.random.default_rng(9), 200, 0
    for _ in range(DRAWS):
        found = {}
        for name in ("gamma", "tied", "holed"):
            reference, current = rng.gamma(2, 5, n), rng.gamma(2, 5, n)
            if name == "tied":
                reference, current = np.round(reference), np.round(current)
            if name == "holed":
                reference[rng.random(n) < 0.2] = np.nan
                current[rng.random(n) < 0.2] = np.nan
            edges = fine_edges_of(reference)
            found[name] = shift_of(histogram_of(reference, edges), histogram_of(current, edges))
        false += bool(alarmed(found, DriftLimits(least_effect=ANY_EFFECT)))
    assert false <= 0.05 * DRAWS


@pytest.mark.parametrize(
    ("n", "moved", "effect"),
    [
        (200, {"mean": 0.9}, 0.33),
        (1_000, {"mean": 0.5}, 0.19),
        (1_000, {"missing": 0.25}, 0.2),
        (1_000_000, {"mean": 0.27}, 0.102),
    ],
)
def test_a_stated_effect_is_found(n, moved, effect):
    rng = np.random.default_rng(n)
    hits, others, draws = 0, 0, examples(100)
    for _ in range(draws):
        found = shifts(drawn(rng, n), drawn(rng, n, **moved))
        names = alarmed(found, DriftLimits())
        hits += "number_0" in names
        others += bool(names - {"number_0"})
        assert found["number_0"].effect.value == pytest.approx(effect, abs=2.5 / np.sqrt(n))
    assert hits >= 0.95 * draws
    assert others <= 0.05 * draws


def test_size_comes_first_and_chance_second():
    rng = np.random.default_rng(1)
    tiny = verdicts_of(shifts(drawn(rng, 10**6), drawn(rng, 10**6, mean=0.02)))
    by_column = {verdict.column: verdict for verdict in tiny}
    assert by_column["number_0"].adjusted_p_value < 1e-6
    assert by_column["number_0"].state == "stable"
    few = verdicts_of(shifts(drawn(rng, 60), drawn(rng, 60, mean=0.6)))
    assert few[0].column == "number_0"
    assert few[0].state == "unsure"
    assert few[0].threshold > few[0].shift.effect.value > 0.1
    assert "number_0: unsure" in few[0].sentence()
    assert verdicts_of({}) == ()


def test_the_threshold_is_where_chance_is_ruled_out():
    limit = threshold_of(500, 400, 7)
    assert limit > 0.1
    shape = Histogram(edges=(0.0,), counts=(0, 0), n_null=0)
    reference = shape.with_bins([0, 250, 250])
    quiet = {f"quiet_{place}": shift_of(reference, reference) for place in range(6)}
    for excess, state in ((-0.006, "unsure"), (0.006, "drifted")):
        below = round(400 * (0.5 + limit + excess))
        shift = shift_of(reference, shape.with_bins([0, below, 400 - below]))
        assert verdicts_of(quiet | {"asked": shift})[0].state == state


def test_benjamini_hochberg_is_scipys():
    p = np.random.default_rng(2).beta(0.5, 2, 40)
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p))


def test_holm_is_its_definition():
    p = np.random.default_rng(3).beta(0.5, 2, 25)
    for alpha in (0.01, 0.05, 0.2):
        rejected, left = set(), list(np.argsort(p))
        while left and p[left[0]] <= alpha / len(left):
            rejected.add(int(left.pop(0)))
        assert set(np.flatnonzero(holm(p) <= alpha).tolist()) == rejected


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_corrections_only_raise_and_keep_the_order(correct):
    p = np.random.default_rng(4).random(30)
    adjusted = correct(p)
    assert (adjusted >= p).all()
    assert adjusted.max() <= 1.0
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
