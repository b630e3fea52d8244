"""Feast 0.67's own DuckDB and Spark offline stores on the same points, in their own environment.

Feast does not compute windows in a point-in-time join, so it is given them: twelve feature
columns computed beforehand for every event (not timed), and the profile rows. What is timed is
``get_historical_features(...)`` until the Arrow table is there; for Spark, without the session's
start.

``python feast_point_in_time.py duckdb|spark FOLDER JAVA_OPTIONS...``
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

FUNCTIONS, WINDOWS = ("count", "sum", "mean", "max"), ("1h", "1d", "7d")
COLUMNS = [f"amount_minor_{f}_{w}" for w in WINDOWS for f in FUNCTIONS]


def source(engine: str, name: str, path: Path) -> Any:
    """Batch source of the engine over a Parquet file."""
    if engine == "spark":
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

        return SparkSource(
            name=name, path=str(path), file_format="parquet", timestamp_field="event_timestamp"
        )
    from feast import FileSource

    return FileSource(name=name, path=str(path), timestamp_field="event_timestamp")


def offline_store(engine: str) -> dict[str, object]:
    """Configuration of the offline store; Spark with the cores of this machine."""
    if engine == "duckdb":
        return {"type": "duckdb"}
    conf = {
        "spark.master": "local[2]",
        "spark.driver.memory": "6g",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    return {"type": "spark", "spark_conf": conf}


def feature_views(engine: str, folder: Path) -> tuple[Any, Any, Any]:
    """One view of the twelve windows, one of the profile, for the entity card."""
    from feast import Entity, FeatureView, Field
    from feast.types import Float64, Int64
    from feast.value_type import ValueType

    card = Entity(name="card", join_keys=["card_id"], value_type=ValueType.STRING)
    activity = FeatureView(
        name="activity",
        entities=[card],
        ttl=timedelta(days=400),
        schema=[Field(name=c, dtype=Float64) for c in COLUMNS],
        source=source(engine, "features", folder / "features.parquet"),
    )
    profile = FeatureView(
        name="profile",
        entities=[card],
        ttl=timedelta(days=400),
        schema=[Field(name="limit_minor", dtype=Int64)],
        source=source(engine, "profiles", folder / "profiles.parquet"),
    )
    return card, activity, profile


def main() -> None:
    engine, folder = sys.argv[1], Path(sys.argv[2])
    import pandas as pd
    from feast import FeatureStore, RepoConfig

    with tempfile.TemporaryDirectory() as home:
        config = RepoConfig(
            project="peer",
            provider="local",
            registry=f"{home}/registry.db",
            offline_store=offline_store(engine),
            online_store=None,
            entity_key_serialization_version=3,
        )
        store = FeatureStore(config=config)
        store.apply(list(feature_views(engine, folder)))
        points = pd.read_parquet(folder / "points.parquet", columns=["card_id", "event_timestamp"])
        names = [f"activity:{c}" for c in COLUMNS] + ["profile:limit_minor"]
        if engine == "spark":
            warm = store.get_historical_features(entity_df=points.head(10), features=names[:1])
            warm.to_arrow()
        started = time.perf_counter()
        table = store.get_historical_features(entity_df=points, features=names).to_arrow()
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": table.num_rows, "profile": engine}))


if __name__ == "__main__":
    main()
