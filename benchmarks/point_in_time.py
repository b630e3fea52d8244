"""Point-in-time join: points x rows, 12 window features and one attribute.

``python -m benchmarks.point_in_time CASE FOLDER``: one case in this process, one JSON line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import ACTIVITY, PROFILE


def in_process(folder: Path) -> dict[str, object]:
    """Parquet to features in this process, reading included; the compiled kernel is loaded."""
    from stores.frames import view_table

    small = pq.read_table(folder / "rows.parquet").slice(0, 1_000)
    warm = pq.read_table(folder / "points.parquet").slice(0, 100)
    view_table(ACTIVITY, small, warm)
    started = time.perf_counter()
    points = pq.read_table(folder / "points.parquet")
    activity = view_table(ACTIVITY, pq.read_table(folder / "rows.parquet"), points)
    profile = view_table(PROFILE, pq.read_table(folder / "profiles.parquet"), points)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "profile": "one process", **checksum(activity, profile)}


def spark(folder: Path) -> dict[str, object]:
    """Parquet to features on Spark ``local[2]``, reading included, the session's start not.

    Run twice: the first pass also compiles and starts the workers, the second is reported
    as ``seconds`` and the first beside it.
    """
    import tempfile

    from pyspark.sql import functions as F  # noqa: N812

    from spark_jobs.host import point_in_time
    from spark_jobs.session import spark_session

    with tempfile.TemporaryDirectory() as scratch:
        session = spark_session("embedded", scratch=Path(scratch), is_optimised=True, memory="6g")
        events = {
            "transactions": session.read.parquet(str(folder / "rows.parquet")),
            "profiles": session.read.parquet(str(folder / "profiles.parquet")),
        }
        points = session.read.parquet(str(folder / "points.parquet")).select(
            F.col("example_id").alias("point_id"),
            "card_id",
            "event_timestamp",
            F.lit(None).cast("timestamp").alias("known_at"),
        )
        passes = []
        for _ in range(2):
            started = time.perf_counter()
            answers = point_in_time((ACTIVITY, PROFILE), events, points, partitions=8)
            totals = answers.select(
                F.sum(F.element_at("values_0", 1)), F.sum(F.nanvl(F.element_at("values_0", 13), F.lit(0.0)))
            ).first()
            passes.append(time.perf_counter() - started)
        session.stop()
    return {
        "seconds": passes[-1],
        "first_pass_s": passes[0],
        "profile": "Spark local[2], 6 GB driver, second compiler tier",
        "count_total": totals[0],
        "limit_total": totals[1],
    }


def checksum(activity: pa.Table, profile: pa.Table) -> dict[str, float]:
    """Totals by which two cases are seen to have computed the same thing."""
    import pyarrow.compute as pc

    counts = pc.sum(activity.column(activity.column_names[0])).as_py()
    limits = pc.sum(profile.column(profile.column_names[0])).as_py()
    return {"count_total": float(counts or 0), "limit_total": float(limits or 0)}


CASES = {"in_process": in_process, "spark": spark}


def main() -> None:
    case, folder = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(CASES[case](folder)))


if __name__ == "__main__":
    main()
