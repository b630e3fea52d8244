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


def checksum(activity: pa.Table, profile: pa.Table) -> dict[str, float]:
    """Totals by which two cases are seen to have computed the same thing."""
    import pyarrow.compute as pc

    counts = pc.sum(activity.column(activity.column_names[0])).as_py()
    limits = pc.sum(profile.column(profile.column_names[0])).as_py()
    return {"count_total": float(counts or 0), "limit_total": float(limits or 0)}


CASES = {"in_process": in_process}


def main() -> None:
    case, folder = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(CASES[case](folder)))


if __name__ == "__main__":
    main()
