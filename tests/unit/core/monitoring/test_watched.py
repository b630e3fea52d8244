"""What was seen is what was judged, and goes through JSON unchanged."""

from __future__ import annotations

import numpy as np

from core.monitoring.control_lines import Line, charted
from core.monitoring.timeline import timeline
from core.monitoring.watched import (
    CalibrationSeen,
    DriftSeen,
    chart_seen,
    diagrams_seen,
    timelines_seen,
)
from core.stats.histogram import Histogram
from core.stats.metrics import ranked
from core.stats.profile import TableProfile
from core.stats.reliability import reliability


def day(low, high, other=(500, 500)):
    columns = {
        "x": Histogram(edges=(1.0,), counts=(low, high), n_null=0),
        "a_first": Histogram(edges=(1.0,), counts=other, n_null=0),
    }
    return TableProfile(columns=columns)


def test_columns_that_drifted_come_first_with_their_days_and_the_day_it_began():
    before = {"2026-01-03": day(500, 500), "2026-01-04": day(520, 480)}
    now = {"2026-01-05": day(500, 500), "2026-01-06": day(200, 800)}
    line = timeline("source", day(5_000, 5_000, (5_000, 5_000)), now, before=before)
    [seen] = timelines_seen({"payments": line, "nothing": timeline("source", day(1, 1), {})})
    assert [(c.column, c.state, c.since) for c in seen.columns] == [
        ("x", "drifted", "2026-01-06"),
        ("a_first", "stable", ""),
    ]
    column = seen.columns[0]
    assert [each.date for each in column.days] == [*before, *now]
    assert [each.is_current for each in column.days] == [False, False, True, True]
    assert [round(each.effect, 2) for each in column.days] == [0.0, 0.02, 0.0, 0.3]
    assert round(column.effect, 2) == 0.15
    assert [moved.column for moved in line.moved()] == ["x"]


def test_days_before_are_never_judged():
    now = {"2026-01-06": day(500, 500)}
    line = timeline("source", day(5_000, 5_000), now, before={"2026-01-05": day(0, 1_000)})
    assert line.before["2026-01-05"]["x"].state == "drifted"
    assert line.moved() == []
    assert timelines_seen({"t": line})[0].columns[0].state == "stable"


def test_a_chart_and_a_diagram_go_through_json_with_what_is_missing():
    values = np.array([10.0, 11.0, 9.0, 10.0, np.nan, 10.0, 9.0, 10.0, 11.0, 30.0])
    chart = charted(Line("rows", values), [f"2026-01-{n:02}" for n in range(1, 11)], 9)
    assert chart is not None
    seen = DriftSeen(
        use_case="toy", at_ms=1, first_date="2026-01-10", last_date="2026-01-10", baseline_days=9,
        timelines=(), charts=(chart_seen(chart),),
    )  # fmt: skip
    again = DriftSeen.model_validate_json(seen.model_dump_json())
    assert again == seen
    assert again.charts[0].points[4] is None
    assert again.charts[0].out == ("2026-01-10",)
    rng = np.random.default_rng(1)
    scores = rng.random(2_000)
    found = reliability(ranked(scores, (rng.random(2_000) < scores**3).astype(np.int64)))
    diagrams = CalibrationSeen(
        use_case="toy", at_ms=1, is_promised=True, diagrams=diagrams_seen({"release 1": found})
    )
    again_off = CalibrationSeen.model_validate_json(diagrams.model_dump_json())
    assert [each.is_off for each in again_off.diagrams[0].bins] == found.is_off.tolist()
