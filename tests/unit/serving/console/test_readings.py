"""The sentence below a drawing: what it says follows from the numbers that are drawn."""

from __future__ import annotations

from looks import DATES, calibration, column, drift, skill

from core.monitoring.watched import PeriodSeen
from core.stats.bars import Bar
from core.stats.metrics import Estimate
from serving.console import readings


def test_a_column_is_said_to_have_drifted_to_want_rows_or_to_stand():
    drifted = readings.of_column(column("amount", 0.4))
    assert drifted.startswith(f"It has drifted, each day since {DATES[-1]}: 40.0 % of the rows")
    unsure = column("amount", 0.4).model_copy(update={"state": "unsure", "threshold": 1.0})
    assert readings.of_column(unsure).startswith("More rows are wanted")
    assert "too few rows to tell" in readings.of_column(unsure)
    assert readings.of_column(column("amount", 0.02)).startswith("It stands as it was")
    empty = column("amount", 0.02).model_copy(update={"days": ()})
    assert readings.of_column(empty) == "No day had rows, so nothing was compared."


def test_values_that_stayed_are_not_said_to_have_moved():
    same = (Bar(label="a", before=0.5, now=0.505), Bar(label="b", before=0.5, now=0.495))
    assert readings.of_bars(same).startswith("No range of values gained")


def test_a_chart_tells_days_from_the_mean_and_says_since_when():
    [chart] = drift().charts
    assert readings.days_out(chart) == (DATES[-1],)
    assert readings.means_out(chart) == ()
    assert readings.of_chart(chart) == (
        "1 of 9 days lie outside of their limits, the mean on 0. The last, "
        f"{DATES[-1]}, has 30: outside of 5 to 15; day or mean outside each day since {DATES[-1]}."
    )
    still = chart.model_copy(update={"points": (10.0,) * 10, "out": ()})
    assert readings.of_chart(still) == "All 10 days keep within their limits: nothing to do."
    shifted = chart.model_copy(
        update={"points": (10.0,) * 10, "mean": (20.0,) * 10, "out": tuple(DATES)}
    )
    assert "0 of 10 days lie outside of their limits, the mean on 10" in readings.of_chart(shifted)
    assert "has 10: within 5 to 15; day or mean" in readings.of_chart(shifted)
    nothing = chart.model_copy(update={"points": (None,) * 10})
    assert readings.of_chart(nothing) == "No day has a number."


def period(date, value, *, half=0.01):
    group = skill().periods[0].group
    metrics = {"auc": Estimate(value=value, low=value - half, high=value + half)}
    return PeriodSeen(date=date, group=group.model_copy(update={"metrics": metrics}))


def test_periods_are_held_to_the_first_one_by_their_intervals():
    first = period(DATES[0], 0.8)
    lower = readings.of_periods([first, period(DATES[1], 0.7)], "auc")
    assert f"from {DATES[0]} it was 0.800 (0.790 to 0.810): lower now, beyond both" in lower
    assert "higher now" in readings.of_periods([first, period(DATES[1], 0.9)], "auc")
    same = readings.of_periods([first, period(DATES[1], 0.81)], "auc")
    assert "chance may be all" in same
    assert "no period before it" in readings.of_periods([first], "auc")


def test_without_labels_it_says_what_an_estimate_cannot_see():
    guessed = readings.of_periods(skill().periods[1:], "auc")
    assert "put at 0.746 (0.700 to 0.780): it cannot see" in guessed
    assert "nothing could be estimated" in readings.of_periods((), "auc")


def test_a_diagram_names_the_bin_that_is_worst():
    [diagram] = calibration().diagrams
    said = readings.of_diagram(diagram)
    assert said.startswith("1 of 2 bins are off")
    assert said.endswith("scores are about 5.00 %: 20.00 % were positive, so they are too low.")
    good = diagram.model_copy(update={"bins": diagram.bins[:1]})
    assert readings.of_diagram(good).startswith("Scores may be read as chances")
