"""Batch scoring against ONNX Runtime alone and against MLflow's Spark function."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.floors import Floor, Section, ratio
from benchmarks.measure import Measurement, measure
from benchmarks.scoring_data import FEATURES, prepare
from benchmarks.trees import TREES

FULL = 4_000_000
LIMIT_S = 600.0


def _case(name: str, case: str, folder: Path, rows: int) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.scoring", case, str(folder), str(rows)]
    return measure(name, command, timeout_s=LIMIT_S)


def run(home: Path, *, is_small: bool) -> Section:
    """All cases; ONNX Runtime alone before and after ours, the quicker of them counts."""
    rows = FULL // 10 if is_small else FULL
    section = Section(f"Batch scoring: {rows:,} rows, {FEATURES} features, {TREES} trees")
    folder = home / "scoring"
    prepare(folder, rows)
    alone = "ONNX Runtime alone, from memory"
    before = section.add(_case(alone, "onnx_alone", folder, rows))
    direct = section.add(_case("ours, Delta to Delta", "ours", folder, rows))
    staged = section.add(_case("ours, staged, audited, published", "audited", folder, rows))
    after = section.add(_case(f"{alone}, again", "onnx_alone", folder, rows))
    peer = section.add(_case("mlflow.pyfunc.spark_udf, Delta to Delta", "mlflow_udf", folder, rows))
    best = min((before, after), key=lambda m: m.seconds)
    section.floors += [
        Floor("share of ONNX Runtime's speed", ratio(best, direct), 0.6),
        Floor("rows a second", None if direct.failure else rows / direct.seconds, 100_000),
        Floor("mlflow.pyfunc.spark_udf / ours", ratio(peer, direct), 3),
    ]
    share, rate = ratio(best, staged), None if staged.failure else rows / staged.seconds
    if share is not None and rate is not None:
        section.notes.append(
            f"staged, audited, published: {share:.2f} of ONNX Runtime's speed, {rate:,.0f} rows/s"
        )
    return section
