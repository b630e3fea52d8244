"""The walk upstream: four kinds of broken data and more, each named with its partition."""

from __future__ import annotations

import numpy as np
import pytest

from core.monitoring.upstream import AssetDay, AssetHistory, all_faults, faults_of
from core.stats.histogram import fine_edges_of, histogram_of
from core.stats.profile import TableProfile

DATES = [f"2026-01-{day:02}" for day in range(1, 16)]
NEWEST = DATES[-1]
ASSET = "events/transactions"
SCHEMA = (("amount_minor", "long"), ("country", "string"))
VALUES = np.random.default_rng(3).lognormal(7.0, 1.0, 30_000)
EDGES = fine_edges_of(VALUES)


def day(partition, n_rows=2_000, **more):
    return AssetDay(partition=partition, n_rows=n_rows, schema=SCHEMA, code_version="a1", **more)


def profile(seed, change=lambda values: values, n=2_000):
    values = np.random.default_rng(seed).lognormal(7.0, 1.0, n)
    return TableProfile(columns={"amount_minor": histogram_of(change(values), EDGES)})


def history(newest=None, change=None, checks=None):
    days = [day(date, 2_000 + place) for place, date in enumerate(DATES[:-1])]
    profiles = {date: profile(place) for place, date in enumerate(DATES[:-1])}
    profiles[NEWEST] = profile(99, change or (lambda values: values))
    return AssetHistory(
        asset=ASSET,
        days=(*days, newest or day(NEWEST)),
        profiles=profiles,
        failed_checks=checks or {},
    )


def with_nulls(values):
    return np.where(np.arange(len(values)) % 3 == 0, np.nan, values)


def test_days_as_usual_have_no_fault():
    assert faults_of(history(), [NEWEST]) == []


@pytest.mark.parametrize(
    ("made", "cause", "size"),
    [
        (history(day(NEWEST, 0)), "late_partition", 1.0),
        (history(day(NEWEST, late_share=0.4, hours_late=9.0)), "late_partition", 9.0),
        (history(day(NEWEST, is_failed=True)), "failed_partition", 1.0),
        (history(day(NEWEST, 300)), "volume_shift", pytest.approx(-0.85, abs=0.01)),
        (history(day(NEWEST, 9_000)), "volume_shift", pytest.approx(3.5, abs=0.05)),
        (history(day(NEWEST, refused={"amount": 0.3})), "schema_change", 0.3),
        (history(change=lambda values: values * 100), "unit_change", 100.0),
        (history(change=with_nulls), "null_shift", pytest.approx(1 / 3, abs=0.01)),
    ],
)
def test_each_fault_is_found_once_and_names_asset_and_partition(made, cause, size):
    [fault] = faults_of(made, [NEWEST])
    assert (fault.cause, fault.asset, fault.partition) == (cause, ASSET, NEWEST)
    assert fault.size == size
    assert fault.because


def test_a_column_that_went_or_changed_type_is_named():
    newest = AssetDay(partition=NEWEST, n_rows=2_000, schema=(("amount_minor", "string"),))
    [fault] = faults_of(history(newest), [NEWEST])
    assert fault.cause == "schema_change"
    assert fault.columns == ("amount_minor", "country")
    assert fault.because == "amount_minor is string, was long; country is gone"


def test_new_code_is_told_with_both_versions():
    newest = AssetDay(partition=NEWEST, n_rows=2_000, code_version="b2")
    [fault] = faults_of(history(newest), [NEWEST])
    assert (fault.cause, fault.because) == ("code_change", "code a1 before, b2 since")


def test_a_failed_check_is_a_fault_of_the_whole_table():
    [fault] = faults_of(history(checks={"great_expectations": "nulls"}), [NEWEST])
    assert (fault.cause, fault.partition, fault.because) == (
        "failed_check",
        "",
        "great_expectations: nulls",
    )


def test_a_weekend_is_no_shift_of_volume():
    counts = [2_000, 2_100, 1_900, 2_050, 2_000, 1_200, 1_100] * 2
    days = [day(date, count) for date, count in zip(DATES, counts, strict=False)]
    made = AssetHistory(asset=ASSET, days=(*days, day(NEWEST, 1_150)))
    assert faults_of(made, [NEWEST]) == []


def test_a_day_without_rows_is_no_fault_where_many_days_have_none():
    days = [day(date, 20 if place % 3 else 0) for place, date in enumerate(DATES[:-1])]
    assert faults_of(AssetHistory(asset=ASSET, days=(*days, day(NEWEST, 0))), [NEWEST]) == []


def test_few_rows_vary_by_chance():
    days = [day(date, count) for date, count in zip(DATES, [3, 6, 2, 5, 4, 7, 3], strict=False)]
    made = AssetHistory(asset=ASSET, days=(*days, day(NEWEST, 10)))
    assert faults_of(made, [NEWEST]) == []


def test_a_world_that_grew_dearer_is_no_fault():
    assert faults_of(history(change=lambda values: values * 1.8), [NEWEST]) == []


def test_faults_of_several_assets_come_in_their_order():
    late = history(day(NEWEST, 0))
    other = late.model_copy(update={"asset": "events/fraud_labels"})
    found = all_faults([late, other, history()], [NEWEST])
    assert [fault.asset for fault in found] == [ASSET, "events/fraud_labels"]
