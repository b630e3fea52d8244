"""Lines of days: a week's rhythm is taken out, what leaves it is found, noise is not."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from core.monitoring.control_lines import Line, charted, lines_of
from core.stats.histogram import Categories, Histogram
from core.stats.profile import TableProfile

N_BASELINE, N = 28, 35
DATES = [(date(2026, 1, 1) + timedelta(days)).isoformat() for days in range(N)]
RHYTHM = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.8])


def volumes(seed):
    rng = np.random.default_rng(seed)
    weekday = [date.fromisoformat(each).weekday() for each in DATES]
    return 3_500 * RHYTHM[weekday] + rng.normal(0, 40, N)


def test_a_weeks_rhythm_raises_no_alarm_beyond_chance():
    out = [
        len(chart.out(DATES[N_BASELINE:]))
        for seed in range(200)
        for chart in [charted(Line("rows", volumes(seed)), DATES, N_BASELINE)]
        if chart is not None
    ]
    assert len(out) == 200
    assert sum(out) / (200 * 7) < 0.03


def test_a_weekday_as_small_as_a_sunday_is_found_and_a_sunday_is_not():
    values = volumes(1)
    place = next(n for n in range(N_BASELINE, N) if date.fromisoformat(DATES[n]).weekday() == 2)
    values[place] = 3_500 * 0.8
    chart = charted(Line("rows", values), DATES, N_BASELINE)
    assert chart is not None
    assert bool(chart.shewhart.is_out[place])
    assert int(chart.shewhart.is_out.sum()) == 1
    assert chart.title == "rows, a week's rhythm taken out"


def test_whole_numbers_with_an_outage_among_them_have_a_chart():
    """Rows a day are counts: an outage cannot be a NaN among whole numbers."""
    values = volumes(1).astype(np.int64)
    values[10] = 0
    short = values[:14]
    chart = charted(Line("rows", short), DATES[:14], 12)
    assert chart is not None
    assert not chart.out(DATES[12:14])


@pytest.mark.parametrize("values", [np.full(N, 5.0), np.full(N, np.nan)])
def test_lines_without_spread_or_values_have_no_chart(values):
    assert charted(Line("rows", values), DATES, N_BASELINE) is None


def test_lines_are_rows_missing_shares_and_other_decisions():
    decision = Categories(categories=("APPROVE", "BLOCK"), counts=(80, 20), n_other=0, n_null=0)
    amount = Histogram(edges=(1.0,), counts=(40, 50), n_null=10)
    day = TableProfile(columns={"decision": decision, "amount": amount})
    lines = {line.title: line.values for line in lines_of("t", {"a": day}, ["a", "b"], "APPROVE")}
    assert {title: values[0] for title, values in lines.items()} == {
        "t: rows": 100,
        "t: share of amount that is missing": 0.1,
        "t: share of decisions other than APPROVE": pytest.approx(0.2),
    }
    assert all(np.isnan(values[1]) for values in lines.values())


def out_of_limits(make, n_runs=80):
    """Shares of the judged days that either chart, and Shewhart's alone, finds outside."""
    either, alone = [], []
    for seed in range(n_runs):
        values = make(np.random.default_rng(seed))
        chart = charted(Line("rows", values), DATES, N_BASELINE)
        assert chart is not None
        either.append(len(chart.out(DATES[N_BASELINE:])) / (N - N_BASELINE))
        alone.append(chart.shewhart.is_out[N_BASELINE:].mean())
    return float(np.mean(either)), float(np.mean(alone))


def days(rng, *, outage=(), since=N, shift=0.0):
    """A number a day, of spread 1: an outage of ten spreads on some days, a shift since another."""
    values = rng.normal(0.0, 1.0, N)
    values[list(outage)] -= 10.0
    values[since:] += shift
    return values


def test_an_outage_in_the_baseline_hides_no_shift_and_raises_no_alarm():
    """Three days of outage, ten spreads down, would widen limits beyond a shift of five."""
    _, found = out_of_limits(lambda rng: days(rng, outage=(4, 13, 22), since=28, shift=5.0))
    assert found > 0.35  # 0.001 by all days of the baseline
    alarms, _ = out_of_limits(lambda rng: days(rng, outage=(4, 13, 22)))
    assert alarms < 0.03


def test_a_shift_that_began_in_the_baseline_is_found_though_it_is_in_it():
    """Of five spreads, eight days before those that are judged."""
    either, found = out_of_limits(lambda rng: days(rng, since=20, shift=5.0))
    assert found > 0.35  # 0.2 by all days of the baseline
    assert either > 0.95
