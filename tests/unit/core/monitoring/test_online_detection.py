"""Detectors on a stream: changes are found soon, streams without one are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from core.monitoring.online_detection import MOST_VALUES, Values, alarms_of, since


def stream(values, kind="scores"):
    return Values(3, kind, np.arange(len(values)) * 1_000, np.asarray(values, dtype=np.float64))


def test_errors_that_double_are_found_within_five_hundred_values():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        errors = np.concatenate([rng.random(1_000) < 0.2, rng.random(500) < 0.4])
        [first, *_] = alarms_of(stream(errors, "errors"))
        assert 1_000 <= first.place < 1_500
        assert (first.release, first.stream, first.at_ms) == (3, "errors", first.place * 1_000)
        assert first.after > first.before


def test_streams_without_a_change_seldom_alarm():
    drawn = [
        alarms_of(stream(np.random.default_rng(seed).beta(0.5, 20, 1_500))) for seed in range(10)
    ]
    assert sum(bool(found) for found in drawn) <= 1


@pytest.mark.parametrize("n", [0, 199])
def test_few_values_say_nothing(n):
    assert alarms_of(stream(np.arange(n))) == []


def test_a_change_at_the_end_of_a_long_stream_is_found():
    """One value of twenty, as it was once, showed 150 of the 3,000 that changed: too few."""
    rng = np.random.default_rng(4)
    errors = np.concatenate([rng.random(197_000) < 0.2, rng.random(3_000) < 0.4])
    [first, *_] = alarms_of(stream(errors, "errors"))
    assert 197_000 <= first.place < 198_000
    assert first.at_ms == first.place * 1_000


def test_a_long_stream_without_a_change_is_left_alone():
    assert alarms_of(stream(np.random.default_rng(5).random(200_000) < 0.2, "errors")) == []


def test_missing_values_are_left_out_and_a_long_stream_is_gone_through_in_blocks():
    values = np.concatenate([np.zeros(2 * MOST_VALUES), np.ones(2 * MOST_VALUES)])
    values[::2] = np.nan
    found = alarms_of(stream(values))
    assert {alarm.detector for alarm in found} == {"adwin", "page_hinkley"}
    first = min(alarm.at_ms for alarm in found)
    assert 2 * MOST_VALUES * 1_000 <= first < (2 * MOST_VALUES + 1_000) * 1_000
    assert since(found, first + 1) == [alarm for alarm in found if alarm.at_ms > first]


def test_an_alarm_says_from_what_to_what():
    [alarm, *_] = alarms_of(stream([0.1] * 400 + [0.9] * 200))
    assert alarm.sentence() == (
        f"scores of release 3 went from {alarm.before:.4f} to {alarm.after:.4f} on average (adwin)"
    )
    assert 0.1 < alarm.before < alarm.after < 0.9
