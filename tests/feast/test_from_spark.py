"""From landed files through the Spark jobs into Feast: offline and online say the same."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from feast_repository import OBJECTS, WINDOWS, historical, instant, repository
from payments import seal_events
from shared_spark import interpreting

from core.clock import event_date
from feature_store.plans import plan_for
from spark_jobs import ingest, tiles
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.tables import open_table
from use_cases import discover
from use_cases.fraud import features as fraud
from use_cases.fraud.simulator import simulate
from use_cases.fraud.sources import CARD_PROFILES, FRAUD_LABELS, TRANSACTIONS

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DAY_MS = 86_400_000
NOW_MS = 20_500 * DAY_MS + 50_000_000


@pytest.fixture(scope="module")
def spark():
    return interpreting()


@pytest.fixture(scope="module")
def state(spark, tmp_path_factory):
    root = tmp_path_factory.mktemp("spine")
    layout = Layout(root / "state").create()
    made = simulate(root / "landing", seed=4, transactions=4_000, days=45, end_ms=NOW_MS)
    for source in (TRANSACTIONS, FRAUD_LABELS, CARD_PROFILES):
        log = SourceLog(layout.log_dir(source.name), source.name)
        for path in made.files[source.name]:
            log.land(root / "landing" / path, now_ms=NOW_MS, is_historic=True)
    store = repository(layout.root)
    store.apply(OBJECTS)
    take_in(spark, layout)
    return layout, store


def take_in(spark, layout):
    """Ingest what is sealed and rebuild the tiles of every date."""
    root = str(layout.root)
    for source in (TRANSACTIONS, FRAUD_LABELS, CARD_PROFILES):
        ingest.run(
            spark,
            ingest.Arguments(root=root, now_ms=NOW_MS, source=source, to_epoch=10_000),
        )
    for view in plan_for(discover()["fraud"], layout).views:
        if view.windows:
            today = (event_date(NOW_MS),)
            tiles.run(spark, tiles.Arguments(root=root, now_ms=NOW_MS, view=view, dates=today))


def materialise(store):
    now = instant(NOW_MS)
    names = [view.name for view in (*WINDOWS, fraud.card_profile_v1)]
    store.materialize(now - timedelta(days=1), now, feature_views=names)


def points(layout, n=300):
    rows = open_table(layout.events("transactions")).to_pyarrow_table(
        columns=["card_id", "terminal_id"]
    )
    rng = np.random.default_rng(8)
    picked = rows.take(rng.integers(0, len(rows), n)).to_pylist()
    return [
        {
            **row,
            "amount_minor": int(rng.integers(1, 100_000)),
            "event_timestamp": instant(NOW_MS + int(rng.integers(0, 600_000))),
        }
        for row in picked
    ]


def assert_the_same(store, asked):
    offline = historical(store, pd.DataFrame(asked), fraud.fraud_v1)
    online = store.get_online_features(fraud.fraud_v1, asked, full_feature_names=True).to_df()
    names = [name for name in online.columns if "__" in name]
    assert len(names) == 42
    for name in names:
        one, other = (frame[name].to_numpy(np.float32) for frame in (offline, online))
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert offline[names].notna().to_numpy().mean() > 0.5
    assert offline["terminal_risk_v1__is_fraud_mean_30d"].max() > 0
    return offline


def test_offline_equals_online_and_stays_so_when_late_rows_come(spark, state):
    layout, store = state
    materialise(store)
    asked = points(layout)
    before = assert_the_same(store, asked)
    row = asked[0]
    late = [
        {
            "event_id": f"late-{n}",
            "event_timestamp": NOW_MS - ago,
            "card_id": row["card_id"],
            "terminal_id": row["terminal_id"],
            "amount_minor": 77_777,
        }
        for n, ago in enumerate((20 * DAY_MS, 3 * DAY_MS, 5_000))
    ]
    seal_events(layout, TRANSACTIONS, late, now_ms=NOW_MS)
    take_in(spark, layout)
    materialise(store)
    after = assert_the_same(store, asked)
    column = "card_activity_v1__amount_minor_count_30d"
    grown = after[column] - before[column]
    assert set(grown[after["card_id"] == row["card_id"]]) == {3.0}
    assert set(grown[after["card_id"] != row["card_id"]]) <= {0.0}
