import math

import numpy as np
import pytest
from example_counts import examples
from sklearn import metrics as reference

from core.stats.metrics import (
    METRICS,
    area_under_roc,
    auc_interval,
    decision_rates,
    estimates,
    precision_recall_curve,
    ranked,
    recall_at_precision,
    roc_curve,
)


def sample(seed, n=2_000, ties=0):
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.1).astype(np.int64)
    scores = 1 / (1 + np.exp(-(generator.normal(size=n) + 2 * labels - 2)))
    if ties:
        scores = np.round(scores, ties)
    return scores, labels, generator.random(n) + 0.1


@pytest.mark.parametrize("ties", [0, 1, 2])
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auc", reference.roc_auc_score),
        ("average_precision", reference.average_precision_score),
        ("log_loss", lambda y, s, sample_weight: _log_loss(y, s, sample_weight)),
        ("brier", reference.brier_score_loss),
    ],
)
def test_metrics_agree_with_scikit_learn(name, expected, ties, is_weighted):
    scores, labels, weights = sample(5, ties=ties)
    weights = weights if is_weighted else np.ones(len(scores))
    rows = ranked(scores, labels, weights)
    assert METRICS[name](rows) == pytest.approx(expected(labels, scores, sample_weight=weights))


def _log_loss(labels, scores, weights):
    return reference.log_loss(labels, np.clip(scores, 1e-7, 1 - 1e-7), sample_weight=weights)


def test_curves_do_not_depend_on_the_order_of_rows():
    scores, labels, weights = sample(6, ties=2)
    order = np.random.default_rng(1).permutation(len(scores))
    for name, metric in METRICS.items():
        if name != "ece":  # its bins cut through ties
            before = metric(ranked(scores, labels, weights))
            after = metric(ranked(scores[order], labels[order], weights[order]))
            assert before == pytest.approx(after), name


def test_a_weight_of_two_is_a_row_twice():
    scores, labels, _ = sample(7, n=300)
    weights = np.random.default_rng(2).integers(1, 3, 300)
    twice = ranked(np.repeat(scores, weights), np.repeat(labels, weights))
    once = ranked(scores, labels, weights.astype(float))
    for name in ("auc", "average_precision", "log_loss", "brier", "recall_at_precision_50"):
        assert METRICS[name](once) == pytest.approx(METRICS[name](twice)), name


def test_a_calibrated_score_has_a_small_calibration_error_and_a_shifted_one_a_large():
    generator = np.random.default_rng(3)
    scores = generator.random(20_000)
    labels = (generator.random(20_000) < scores).astype(np.int64)
    assert METRICS["ece"](ranked(scores, labels)) < 0.02
    assert METRICS["ece"](ranked(scores * 0.5, labels)) == pytest.approx(0.25, abs=0.02)


def test_recall_at_precision_is_zero_when_precision_never_suffices():
    rows = ranked(np.array([0.9, 0.8, 0.1]), np.array([0, 1, 0]))
    assert recall_at_precision(rows, 0.9) == 0.0
    assert recall_at_precision(rows, 0.5) == 1.0


def test_curves_start_and_end_where_they_must():
    rows = ranked(*sample(8)[:2])
    false_rate, true_rate = roc_curve(rows)
    assert (false_rate[0], true_rate[0], false_rate[-1], true_rate[-1]) == (0, 0, 1, 1)
    assert precision_recall_curve(rows)[1][-1] == 1.0


def test_intervals_hold_the_value_and_repeat_for_a_seed():
    rows = ranked(*sample(9))
    first, second = estimates(rows, 1, 100), estimates(rows, 1, 100)
    assert first == second
    for name in METRICS:
        if name != "ece":  # biased upwards by resampling
            assert first[name].low <= first[name].value <= first[name].high, name
    assert first["auc"].high > first["auc"].low


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    # AUC of N(1,1) against N(0,1) is Phi(1/sqrt 2) = 0.7602. Nominal 95 %; the band is
    # five binomial standard deviations of the trials wide below it.
    truth, covered, trials = 0.76025, 0, examples(120)
    for seed in range(trials):
        generator = np.random.default_rng(seed)
        labels = (np.arange(300) % 3 == 0).astype(np.int64)
        found = estimates(ranked(generator.normal(size=300) + labels, labels), seed, 80)["auc"]
        covered += found.low <= truth <= found.high
    assert covered / trials > 0.95 - 5 * math.sqrt(0.95 * 0.05 / trials)


def naive_auc_variance(scores, labels):
    """DeLong's variance by the comparison of every pair."""
    ahead = np.sign(scores[labels == 1][:, None] - scores[labels == 0]) / 2 + 0.5
    return sum(np.var(ahead.mean(axis=a), ddof=1) / ahead.shape[1 - a] for a in (0, 1))


@pytest.mark.parametrize("ties", [0, 1, 2])
@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_the_quick_interval_of_the_auc_is_that_of_all_pairs(ties, weight):
    scores, labels, _ = sample(2, n=300, ties=ties)
    rows = ranked(scores, labels, np.full(300, weight))
    area = area_under_roc(rows)
    odds = [math.log(p / (1 - p)) for p in auc_interval(rows) or ()]
    error = math.sqrt(naive_auc_variance(scores, labels)) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    assert odds == pytest.approx([middle - 1.959964 * error, middle + 1.959964 * error])


def test_the_quick_interval_covers_the_truth_about_as_often_as_it_says():
    truth = 0.5 * (1 + math.erf(1.2 / 2))  # normal scores, the positives 1.2 higher
    held = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        labels = (np.arange(400) < 40).astype(np.int64)
        scores = generator.normal(size=400) + 1.2 * labels
        low, high = auc_interval(ranked(scores, labels)) or (1.0, 0.0)
        held += low <= truth <= high
    assert 0.92 <= held / 200 <= 0.98


def test_the_quick_interval_is_of_rows_that_have_weight_and_few_have_none():
    scores, labels, _ = sample(4, n=400)
    half = (np.arange(400) % 2).astype(np.float64)
    found = auc_interval(ranked(scores, labels, half))
    assert found == pytest.approx(auc_interval(ranked(scores[1::2], labels[1::2])))
    assert auc_interval(ranked(np.array([0.1, 0.5, 0.3, 0.2]), np.array([0, 1, 0, 0]))) is None
    assert auc_interval(ranked(np.array([0.2, 0.5, 0.3]), np.array([0, 0, 1]))) is None


def test_a_resample_without_positives_is_left_out():
    rows = ranked(np.array([0.9, 0.1, 0.2]), np.array([1, 0, 0]))
    found = estimates(rows, 1, 50)
    assert all(np.isfinite([e.value, e.low, e.high]).all() for e in found.values())


def test_decision_rates_add_up():
    scores, labels, weights = sample(10)
    made = np.select([scores > 0.9, scores > 0.5], ["BLOCK", "REVIEW"], "APPROVE")
    rates = decision_rates(("BLOCK", "REVIEW", "APPROVE"), made, labels, weights)
    assert list(rates) == ["BLOCK", "REVIEW", "APPROVE"]
    assert sum(rate["share"] for rate in rates.values()) == pytest.approx(1)
    assert sum(rate["recall"] for rate in rates.values()) == pytest.approx(1)
    taken = scores > 0.9
    expected = np.average(labels[taken], weights=weights[taken])
    assert rates["BLOCK"]["precision"] == pytest.approx(expected)
