"""``throughline views``: who reads which version, and two of them on the same points."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from bundles import TOY_PLAN, serve, shelve
from deltalake import write_deltalake

from assets.tables import read_columns
from core.clock import DAY_MS
from core.errors import InvalidInputError
from core.features.plan import Plan
from feature_store.plans import plan_for
from orchestration import cli
from orchestration.views import compared
from stores.layout import Layout
from stores.view_reports import ViewReports
from use_cases import discover

OLD = TOY_PLAN.view("card_activity_v1")
DAYS = 40


@pytest.fixture
def layout(tmp_path):
    """A payment a day of each of two cards, the second of which pays more each day."""
    layout = Layout(tmp_path / "home").create()
    n = range(2 * DAYS)
    at = pa.array([datetime.fromtimestamp(i // 2 * DAY_MS / 1_000, UTC) for i in n])
    columns = {
        "event_id": [f"e{i}" for i in n],
        "event_timestamp": at,
        "available_at": at,
        "card_id": [f"c{i % 2}" for i in n],
        "amount_minor": [100 if i % 2 == 0 else 100 * (1 + i // 2) for i in n],
    }
    write_deltalake(layout.events("payments"), pa.table(columns))
    return layout


def next_version(**changes):
    """The view with each window a day longer."""
    windows = tuple(w.model_copy(update={"window_ms": w.window_ms + DAY_MS}) for w in OLD.windows)
    return OLD.model_copy(update={"name": "card_activity_v2", "windows": windows, **changes})


def test_a_longer_window_differs_where_there_was_more_to_see(layout):
    report = compared(layout, OLD, next_version(), 1_000, at_ms=7)
    found = {each.feature: each for each in report.differences}
    count = found["amount_minor_count_1d"]
    assert count.n_points == 2 * DAYS
    assert count.n_equal == 4  # the first two days of each card have no more to see
    assert (count.largest, count.n_lost, count.n_gained) == (1.0, 0, 0)
    mean = found["amount_minor_mean_30d"]
    assert mean.mean_before is not None
    assert mean.mean_after is not None
    assert mean.mean_after < mean.mean_before
    assert (report.old_digest, report.new_digest) == (OLD.digest, next_version().digest)
    assert report.read_versions == {"payments": 0}


def test_the_same_view_is_equal_and_few_points_are_drawn_the_same_each_time(layout):
    first, again = (compared(layout, OLD, OLD, 10, at_ms=7) for _ in range(2))
    assert first == again
    assert first.n_points == 10
    assert first.changed == ()


def test_views_of_different_entities_are_not_compared(layout):
    with pytest.raises(InvalidInputError, match="not about the same entity"):
        compared(layout, OLD, next_version(join_keys=("terminal_id",)), 10, at_ms=7)


@pytest.mark.slow
def test_a_comparison_is_kept_for_releases_of_the_new_version(layout, capsys):
    rows = read_columns(layout.events("payments"))
    write_deltalake(
        layout.events("transactions"),
        rows.append_column("terminal_id", pa.array(["t"] * rows.num_rows)),
    )
    pair = ["card_activity_v1", "card_activity_v1", "--points", "9", "--home", str(layout.root)]
    assert cli.main(["views", "compare", *pair]) == 0
    out = capsys.readouterr().out
    view = plan_for(discover()["fraud"], layout).view("card_activity_v1")
    [report] = ViewReports(layout.view_reports).about([view])
    assert (report.n_points, report.changed) == (9, ())
    assert report.read_versions == {"transactions": 0}
    assert "view_reports/card_activity_v1/card_activity_v1.json" in out


def test_the_list_says_who_reads_a_view(layout, capsys):
    own = Plan.model_validate_json(TOY_PLAN.model_dump_json().replace("_v1", "_of_toys_v1"))
    serve(layout, shelve(layout, plan=own), counter=1)
    assert cli.main(["views", "list", "--home", str(layout.root)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["card_state_of_toys_v1"].endswith("release toy/1")
    assert "  none: attributes  " in lines["card_state_of_toys_v1"]
    assert "  not built yet  " in lines["terminal_risk_v1"]
    assert lines["terminal_risk_v1"].endswith("use case fraud, use case handbook")
    assert (
        cli.main(["views", "compare", "terminal_risk_v1", "none", "--home", str(layout.root)]) == 2
    )
    assert "there is no view 'none'" in capsys.readouterr().err
