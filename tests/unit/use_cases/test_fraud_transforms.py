"""The request-time functions of the fraud use case against the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from core.features.transforms import call
from use_cases.fraud import transforms


def payment(at_ms, amount=1.0, mean=1.0):
    n = len(at_ms)
    inputs = {
        "at_ms": np.asarray(at_ms, np.float64),
        "amount_minor": np.full(n, amount),
        "amount_minor_mean_30d": np.full(n, mean),
    }
    outputs = ["amount", "is_weekend", "is_night", "amount_over_mean"]
    return call(transforms.payment, inputs, outputs, "payment")


def test_weekend_and_night_agree_with_the_calendar():
    rng = np.random.default_rng(3)
    instants = [
        datetime(1969, 12, 20, tzinfo=UTC) + timedelta(minutes=int(m))
        for m in rng.integers(0, 60 * 24 * 365 * 60, 5_000)
    ]
    found = payment([i.timestamp() * 1_000 for i in instants])
    assert found["is_weekend"].tolist() == [float(i.weekday() >= 5) for i in instants]
    assert found["is_night"].tolist() == [float(i.hour < 6) for i in instants]


def test_a_day_and_a_night_begin_at_their_first_millisecond():
    saturday = datetime(2026, 1, 3, tzinfo=UTC).timestamp() * 1_000
    found = payment(
        [saturday - 1, saturday, saturday + 6 * 3_600_000 - 1, saturday + 6 * 3_600_000]
    )
    assert found["is_weekend"].tolist() == [0, 1, 1, 1]
    assert found["is_night"].tolist() == [0, 1, 1, 0]


def test_a_card_without_a_habit_has_no_ratio():
    assert np.isnan(payment([0], mean=np.nan)["amount_over_mean"]).all()
    assert np.isnan(payment([0], mean=0.0)["amount_over_mean"]).all()
    assert payment([0], amount=300, mean=100)["amount_over_mean"].tolist() == [3.0]


def test_standing_of_a_card():
    inputs = {
        "at_ms": np.array([10.5, 10.5, 10.5]) * transforms.DAY_MS,
        "since_day": np.array([3.0, np.nan, 10.0]),
        "limit_minor": np.array([400.0, np.nan, 0.0]),
        "amount_minor": np.array([100.0, 100.0, 100.0]),
    }
    found = call(transforms.standing, inputs, ["card_age_days", "amount_over_limit"], "standing")
    np.testing.assert_array_equal(found["card_age_days"], [7, np.nan, 0])
    np.testing.assert_array_equal(found["amount_over_limit"], [0.25, np.nan, np.nan])
