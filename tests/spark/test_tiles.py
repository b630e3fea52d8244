from __future__ import annotations

import numpy as np
import pytest
from payments import DAY_MS, NOW_MS, PAYMENTS, PLAN, history, land_rows, payment, seal_events
from pydantic import ValidationError
from shared_spark import ingested

from core.clock import event_date
from core.errors import NotReadyError
from core.features.tiles import tile_columns, tile_values
from spark_jobs import tiles
from spark_jobs.delta import latest_version, read_table
from stores.frames.frames import view_table
from stores.layout import Layout
from stores.tables import epoch_said, open_table

pytestmark = pytest.mark.spark

VIEW = PLAN.views[0]


def built(spark, layout, *dates):
    return tiles.run(
        spark,
        tiles.Arguments(root=str(layout.root), now_ms=NOW_MS, view=VIEW, dates=dates),
    )


def rows_of(spark, layout):
    rows = read_table(spark, layout.tiles(VIEW.name)).collect()
    return sorted(tuple(row) for row in rows)


@pytest.fixture(scope="module")
def layout(spark, tmp_path_factory):
    root = tmp_path_factory.mktemp("tiles")
    layout = Layout(root / "state")
    paid, _ = history(365, 1)
    ingested(spark, layout, PAYMENTS, land_rows(layout, PAYMENTS, paid, root, NOW_MS))
    return layout


def test_tiles_of_a_year_come_from_one_run_and_answer_at_midnight(spark, layout):
    dates = [event_date(NOW_MS - day * DAY_MS) for day in range(1, 366)]
    report = built(spark, layout, *dates)
    assert report.version == 1  # created, then written once
    assert report.rows_read == 365
    assert sorted(report.tiles) == sorted(dates)
    table = open_table(layout.tiles(VIEW.name)).to_pyarrow_table()
    entities = sorted(set(table["entity"].to_pylist()))
    codes = np.array([entities.index(key) for key in table["entity"].to_pylist()])
    names = ["grid_ms", "tile_start_ms", *(name for name, _ in tile_columns(VIEW))]
    arrays = {name: table[name].to_numpy() for name in names}
    got = tile_values(VIEW, {"entity": codes, **arrays}, NOW_MS)

    rows = open_table(layout.events("payments")).to_pyarrow_table()
    cards = [key[2:].decode() for key in entities]
    asked = spark.createDataFrame([(card,) for card in cards], "card_id string").toArrow()
    midnight = spark.sql(f"SELECT timestamp_millis({NOW_MS}) AS event_timestamp").toArrow()
    points = asked.append_column(
        "event_timestamp", midnight["event_timestamp"].take([0] * len(cards))
    )
    wanted = view_table(VIEW, rows, points)
    for name, column in zip(VIEW.feature_names, wanted.columns, strict=True):
        np.testing.assert_array_equal(got[name], column.to_numpy())


def test_a_rerun_changes_no_row(spark, layout):
    before = rows_of(spark, layout)
    built(spark, layout, event_date(NOW_MS - DAY_MS))
    assert rows_of(spark, layout) == before


def test_dates_touched_since_come_along_so_that_the_table_is_of_one_epoch(spark, layout):
    """Otherwise online base values would hold some rows of an epoch and not others."""
    late = payment("late", NOW_MS - 20 * DAY_MS, card_id="c1", amount_minor=5)
    epoch = seal_events(layout, PAYMENTS, [late, payment("new", NOW_MS - 1, card_id="c1")])
    ingested(spark, layout, PAYMENTS, epoch)
    report = built(spark, layout, event_date(NOW_MS - 1))
    touched = {event_date(NOW_MS - 1), event_date(NOW_MS - 20 * DAY_MS)}
    assert set(report.dates) == touched
    assert report.epoch == epoch == epoch_said(open_table(layout.tiles(VIEW.name)))
    assert report.events_version == latest_version(spark, layout.events("payments"))
    again = built(spark, layout, event_date(NOW_MS - 1))
    assert again.dates == (event_date(NOW_MS - 1),)
    assert again.version == report.version + 1


def test_missing_dates_and_missing_events_are_refused(spark, tmp_path):
    with pytest.raises(ValidationError, match="at least 1 item"):
        tiles.Arguments(root="r", now_ms=NOW_MS, view=VIEW, dates=())
    with pytest.raises(ValidationError, match="dates"):
        tiles.Arguments.model_validate({"root": "r", "now_ms": NOW_MS, "view": VIEW})
    with pytest.raises(NotReadyError, match="ingest payments first"):
        built(spark, Layout(tmp_path), "2026-01-01")
