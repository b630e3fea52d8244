"""Served decisions by release, channel and slice; degraded apart; labels and estimates apart."""

from __future__ import annotations

import numpy as np
import pytest

from core.clock import DAY_MS
from core.monitoring.live import LiveRows, decayed, groups_of
from core.stats.confidence import confidence_estimates
from core.stats.metrics import area_under_roc, ranked


def rows(n=4_000, seed=1, *, skill=True, mature=True, degraded=0, release=1, channel="champion"):
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 5, n)
    labels = (rng.random(n) < (scores if skill else scores.mean())).astype(np.float64)
    return LiveRows(
        at_ms=np.arange(n) * (7 * DAY_MS // n),
        scores=np.where(np.arange(n) < degraded, np.nan, scores),
        labels=labels if mature else np.full(n, np.nan),
        releases=np.full(n, release),
        channels=np.full(n, channel),
        is_degraded=np.arange(n) < degraded,
    )


def joined(*parts):
    fields = ("at_ms", "scores", "labels", "releases", "channels", "is_degraded")
    return LiveRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def test_releases_and_channels_are_told_apart_and_degraded_rows_apart_from_both():
    found = groups_of(joined(rows(degraded=500), rows(seed=2, release=2, channel="challenger")))
    assert [(g.name, g.n_rows) for g in found] == [
        ("release 1 champion", 3_500),
        ("release 1 champion, degraded", 500),
        ("release 2 challenger", 4_000),
    ]
    assert [bool(group.metrics) for group in found] == [True, False, True]


def test_labels_that_have_not_come_are_estimated_and_never_mixed_with_those_that_have():
    [group] = groups_of(joined(rows(), rows(seed=2, mature=False)))
    assert (group.n_rows, group.n_mature) == (8_000, 4_000)
    assert group.metrics["auc"].low < group.estimated["auc"].value < group.metrics["auc"].high
    assert groups_of(rows(mature=False))[0].metrics == {}
    assert groups_of(rows())[0].estimated == {}


def test_slices_stand_beside_the_whole_and_small_ones_are_left_out():
    given = rows()
    slices = {"even": np.arange(4_000) % 2 == 0, "few": np.arange(4_000) < 20}
    assert [(g.part, g.n_rows) for g in groups_of(given, slices)] == [
        ("all", 4_000),
        ("even", 2_000),
    ]


def test_an_estimate_follows_a_change_of_the_mix_and_is_blind_to_a_change_of_the_truth():
    rng = np.random.default_rng(5)
    calm, wild = rng.beta(5, 20, 5_000), rng.beta(0.5, 2, 5_000)
    truth = {
        name: area_under_roc(ranked(scores, (rng.random(5_000) < scores).astype(int)))
        for name, scores in {"calm": calm, "wild": wild}.items()
    }
    estimated = {
        "calm": confidence_estimates(calm, 1)["auc"],
        "wild": confidence_estimates(wild, 1)["auc"],
    }
    assert truth["wild"] - truth["calm"] > 0.1
    for name, found in estimated.items():
        assert truth[name] == pytest.approx(found.value, abs=0.03)
    by_chance = area_under_roc(ranked(wild, rng.integers(0, 2, 5_000)))
    assert by_chance < estimated["wild"].low - 0.2


def test_too_few_expected_positives_say_nothing():
    assert confidence_estimates(np.full(1_000, 0.001), 1) == {}


def test_a_model_that_lost_its_skill_has_decayed():
    [moved] = decayed(rows(), rows(seed=2, skill=False))
    assert (moved.column, moved.what) == ("auc", "error")
    assert moved.effect > moved.threshold >= 0.05


def test_a_model_as_good_as_before_or_with_too_few_labels_has_not():
    assert decayed(rows(), rows(seed=2)) == []
    assert decayed(rows(), rows(60, seed=2, skill=False)) == []
