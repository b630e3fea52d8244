"""A use case declared outside the package, in under sixty lines, with no other file touched."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tiny_case
from feast_repository import historical, instant, repository, tiles_of, write_rows, write_table
from tiny_case import features
from tiny_case.use_case import READINGS

from core.features.keys import entity_key
from core.features.oracle import Row
from feature_store.plans import plan_for
from stores.layout import Layout
from use_cases import discover

NOW_MS = 1_700_000_000_000


def test_it_is_short():
    files = Path(tiny_case.__file__).parent.glob("*.py")
    assert sum(len(path.read_text().splitlines()) for path in files) <= 60


def test_it_is_found_beside_the_others():
    found = discover(extra=["tiny_case"])
    assert found["pumps"].package == "tiny_case"
    assert set(found) == {*discover(), "pumps"}
    assert "pumps" not in discover()


def test_it_compiles_and_answers_offline_and_online(tmp_path):
    layout = Layout(tmp_path)
    plan = plan_for(discover(extra=["tiny_case"])["pumps"], layout)
    view = plan.views[0]
    given: list[dict[str, Any]] = [
        {"pump_id": "p1", "vibration": value, "event_ms": NOW_MS - ago, "event_id": f"r{ago}"}
        for value, ago in ((0.1, 7_200_000), (0.2, 600_000), (0.3, 1_000))
    ]
    write_rows(layout, READINGS, given)
    rows = [
        Row(r["event_id"], entity_key([r["pump_id"]]), r["event_ms"], r["event_ms"], 2**32 + n, r)
        for n, r in enumerate(given)
    ]
    write_table(layout.tiles(view.name), tiles_of(view, rows), epoch=1)
    store = repository(tmp_path)
    objects = [features.pump, features.pump_vibration_v1, features.pump_health_v1]
    store.apply([features.pump_vibration_v1.stream_source, *objects])
    now = instant(NOW_MS)
    store.materialize(now - timedelta(days=1), now, feature_views=[view.name])
    asked = [{"pump_id": name, "event_timestamp": now} for name in ("p1", "p2")]
    offline = historical(store, pd.DataFrame(asked), features.pump_health_v1)
    online = store.get_online_features(features.pump_health_v1, asked, full_feature_names=True)
    columns = [name.replace(":", "__") for name in plan.vector]
    expected = [[0.25, 0.2, 0.3, 0.3], [np.nan] * 4]
    np.testing.assert_allclose(offline[columns].to_numpy(), expected)
    np.testing.assert_array_equal(
        offline[columns].to_numpy(np.float32), online.to_df()[columns].to_numpy(np.float32)
    )
