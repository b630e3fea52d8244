"""What was counted of objectives: of all processes and of a month, and no longer."""

from __future__ import annotations

import pytest

from core.clock import DAY_MS, event_date
from core.errors import IntegrityError
from core.monitoring.objectives import WINDOW_DAYS, Measured
from stores.layout import Layout
from stores.monitoring.measured import FOLDER, forget_measured, measured_until, put_measured

NOW_MS = 1_000 * DAY_MS + 5
TODAY = event_date(NOW_MS)


def put(layout, days_ago, process, **counts):
    put_measured(
        layout, event_date(NOW_MS - days_ago * DAY_MS), process, {"toy": Measured(**counts)}
    )


def test_processes_and_dates_of_a_month_add_up_and_a_process_replaces_its_own(tmp_path):
    layout = Layout(tmp_path)
    assert measured_until(layout, NOW_MS) == {}
    put(layout, 0, "a", n_asked=1, n_timed=1, latencies={5: 1})
    put(layout, 0, "a", n_asked=3, n_timed=3, n_late=1, latencies={5: 2, 9: 1})
    put(layout, 0, "b", n_asked=10, n_failed=1)
    put(layout, WINDOW_DAYS - 1, "c", n_asked=100)
    put(layout, WINDOW_DAYS, "d", n_asked=1_000)
    assert measured_until(layout, NOW_MS)["toy"] == Measured(
        n_asked=113, n_failed=1, n_timed=3, n_late=1, latencies={5: 2, 9: 1}
    )


def test_only_dates_that_nobody_asks_for_are_removed(tmp_path):
    layout = Layout(tmp_path)
    for days_ago in (0, WINDOW_DAYS - 1, WINDOW_DAYS, WINDOW_DAYS + 40):
        put(layout, days_ago, "a", n_asked=1)
    forget_measured(layout, NOW_MS)
    left = {path.name for path in (layout.state / FOLDER).iterdir()}
    assert left == {TODAY, event_date(NOW_MS - (WINDOW_DAYS - 1) * DAY_MS)}
    assert measured_until(layout, NOW_MS)["toy"].n_asked == 2


def test_a_file_that_cannot_be_read_is_named_and_one_under_way_is_passed_over(tmp_path):
    layout = Layout(tmp_path)
    put(layout, 0, "a", n_asked=1)
    folder = layout.state / FOLDER / TODAY
    (folder / ".a.json.17.tmp").write_text("{")
    (folder / ".b.json").write_text("{")
    assert measured_until(layout, NOW_MS)["toy"].n_asked == 1
    (folder / "b.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"b\.json"):
        measured_until(layout, NOW_MS)
