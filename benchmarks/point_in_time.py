"""Point-in-time join: points x rows, 12 window features and one attribute.

``python -m benchmarks.point_in_time CASE FOLDER``: one case in this process, one JSON line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import ACTIVITY, PROFILE
from benchmarks.measure import Pass, reported


def in_process(folder: Path) -> dict[str, object]:
    """Parquet to features in this process, reading included; the compiled kernel is loaded.

    Run three times; the last counts, as on Spark.
    """
    from stores.frames.frames import view_table

    small = pq.read_table(folder / "rows.parquet").slice(0, 1_000)
    warm = pq.read_table(folder / "points.parquet").slice(0, 100)
    view_table(ACTIVITY, small, warm)
    del small
    passes = []
    for _ in range(3):
        with Pass() as timed:
            points = pq.read_table(folder / "points.parquet")
            activity = view_table(ACTIVITY, pq.read_table(folder / "rows.parquet"), points)
            profile = view_table(PROFILE, pq.read_table(folder / "profiles.parquet"), points)
        passes.append(timed)
    return {**reported(passes), "profile": "one process", **checksum(activity, profile)}


def spark(folder: Path) -> dict[str, object]:
    """Parquet to features on Spark ``local[2]``, reading included, the session's start not.

    Run twice: the first pass also compiles and starts the workers, the second is reported
    as ``seconds`` and the first beside it.
    """
    from pyspark.sql import functions as F  # noqa: N812

    from benchmarks.sessions import PARTITIONS, bench_session
    from benchmarks.sessions import PROFILE as SESSION
    from spark_jobs.host import point_in_time

    with bench_session() as session:
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
        limits = F.nanvl(F.element_at("values_0", 13), F.lit(0.0))
        passes = []
        for _ in range(2):
            with Pass() as timed:
                answers = point_in_time((ACTIVITY, PROFILE), events, points, partitions=PARTITIONS)
                totals = answers.select(F.sum(F.element_at("values_0", 1)), F.sum(limits)).first()
            passes.append(timed)
    said = {"count_total": totals[0], "limit_total": totals[1]} if totals else {}
    return {**reported(passes), "profile": SESSION, **said}


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
