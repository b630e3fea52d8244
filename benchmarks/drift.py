"""Drift of a wide table: every column counted, compared and judged.

``python -m benchmarks.drift CASE FOLDER [ROWS]``: one case in this process, one JSON line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.measure import Pass, reported
from core.stats.distances import population_stability_index
from core.stats.histogram import histogram_of
from core.stats.verdicts import verdicts_of
from stores.frames.profiles import counted, reference_of

COLUMNS = 50
FULL_ROWS = 1_000_000
BATCH_ROWS = 65_536
SAMPLE_ROWS = 100_000
SIDES = ("reference", "current")


def prepared(home: Path, rows: int) -> Path:
    """Folder with both sides as Parquet, made on first use."""
    folder = home / f"drift_{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, side in enumerate(SIDES):
        path = folder / f"{side}.parquet"
        if not path.exists():
            table = _side(np.random.default_rng(seed), rows, is_moved=side == "current")
            pq.write_table(table, path, compression="none", use_dictionary=False)
    return folder


def _side(rng: np.random.Generator, rows: int, *, is_moved: bool) -> pa.Table:
    """Columns of four shapes in turn; on the current side every fifth has moved.

    All are bounded and leave no bin of equal width empty, because what stands for an empty bin
    in the index is a choice, and the peer's is another.
    """
    columns = {}
    for place in range(COLUMNS):
        by = 0.03 * (place // 5 % 4 + 1) if is_moved and place % 5 == 0 else 0.0
        columns[f"c{place:02d}"] = _column(rng, rows, place % 4, by)
    return pa.table(columns)


def _column(rng: np.random.Generator, rows: int, shape: int, by: float) -> NDArray[np.float64]:
    if shape == 0:
        return rng.beta(2 + 4 * by, 2, rows)
    if shape == 1:
        return 1_000 * rng.random(rows) ** (2 + by)
    if shape == 2:
        return np.minimum(rng.integers(0, 10_000, rows) + 500.0 * (rng.random(rows) < by), 9_999.0)
    return np.asarray(rng.triangular(-5, 2 * by, 5, rows), dtype=np.float64)


def ours(folder: Path) -> dict[str, Any]:
    """Both sides from memory to verdicts: bins from a sample, two countings, all distances.

    Run three times; the last counts. ``current_s`` is what a day costs once the reference has
    been counted. Then, not timed, what the peer's numbers are held against.
    """
    reference, current = (pq.read_table(folder / f"{side}.parquet") for side in SIDES)
    passes, days = [], []
    for _ in range(3):
        with Pass() as timed:
            bins = reference_of(reference.slice(0, SAMPLE_ROWS))
            before = counted([reference], bins, threads=2)
            with Pass() as day:
                after = counted([current], bins, threads=2)
                shifts = after.shifts_from(before)
                verdicts = verdicts_of(shifts)
        passes.append(timed)
        days.append(day)
    return {
        **reported(passes),
        "profile": "bins, both sides, ten numbers a column, verdicts",
        "current_s": days[-1].seconds,
        "drifted": sum(verdict.state == "drifted" for verdict in verdicts),
        "psi": {name: _psi_of_equal_widths(reference, current, name) for name in shifts},
        "kolmogorov": {name: (s.effect.low, s.effect.high) for name, s in shifts.items()},
        "worst_error": max(shift.effect.error for shift in shifts.values()),
    }


def _psi_of_equal_widths(reference: pa.Table, current: pa.Table, name: str) -> float:
    """Index by the peer's edges: Sturges's rule on both sides together, the last bin closed."""
    sides = [table[name].to_numpy() for table in (reference, current)]
    edges = np.histogram_bin_edges(np.concatenate(sides), bins="sturges").tolist()
    rows = []
    for values in sides:
        _, *inner, last = histogram_of(values, edges).counts
        rows.append([*inner[:-1], inner[-1] + last])
    return float(population_stability_index(*rows, floor=1e-12))


def stream(folder: Path, rows: int) -> dict[str, Any]:
    """``rows`` rows from Parquet in batches to a profile, reading included."""
    path = folder / "reference.parquet"
    bins = reference_of(next(pq.ParquetFile(path).iter_batches(SAMPLE_ROWS)))
    with Pass() as timed:
        profile = counted(_batches(path, rows), bins, threads=2)
    said = f"{rows:,} x {COLUMNS} from Parquet, read again and again"
    return {**reported([timed]), "profile": said, "rows": profile.n}


def _batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    left = rows
    while left:
        for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
            part = batch.slice(0, left)
            yield part
            left -= len(part)
            if not left:
                return


def main() -> None:
    case, folder = sys.argv[1], Path(sys.argv[2])
    result = ours(folder) if case == "ours" else stream(folder, int(sys.argv[3]))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
