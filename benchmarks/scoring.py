"""Batch scoring, Delta to Delta: 30 features, 200 boosted trees of depth 6.

``python -m benchmarks.scoring CASE FOLDER ROWS``: one case in this process, one JSON line.
FOLDER is what `benchmarks.scoring_data.prepare` made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.types import StructType

from benchmarks.measure import Pass, reported
from benchmarks.scoring_data import (
    AS_OF,
    CORES,
    FILES,
    KEPT,
    NAMES,
    PLAN,
    POLICY,
    vectors_of,
)
from benchmarks.sessions import PROFILE, bench_session, scratch_folder
from core.stats.histogram import histogram_of
from stores.shelf.profile import SCORE_EDGES, Profile

CALL_ROWS = (8_192, 65_536)


def onnx_alone(folder: Path, rows: int) -> dict[str, object]:
    """ONNX Runtime on a matrix in memory, both cores: the best of what it can be told.

    Threads inside one session or one session a core, in small calls and in large ones.
    """
    vectors = np.concatenate([vectors_of(rows // FILES, seed=100 + p) for p in range(FILES)])
    model = (folder / "model.onnx").read_bytes()
    tried: dict[str, Pass] = {}
    for call_rows in CALL_ROWS:
        inside, alone = _session(model, CORES), _session(model, 1)
        halves = np.array_split(vectors, CORES)
        ways: dict[str, Callable[[], object]] = {
            "one session, two threads": partial(_score, inside, vectors, call_rows),
            "two sessions, a thread each": partial(_both, alone, halves, call_rows),
        }
        for name, way in ways.items():
            _score(inside, vectors[:100_000], call_rows)
            with Pass() as timed:
                way()
            tried[f"{name}, {call_rows} rows a call"] = timed
    best = min(tried, key=lambda name: tried[name].seconds)
    rates = {name: round(rows / timed.seconds) for name, timed in tried.items()}
    return {**reported([tried[best]]), "rows": rows, "rates": rates, "profile": best}


def _session(model: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _score(session: Any, vectors: NDArray[np.float32], call_rows: int) -> None:
    for start in range(0, len(vectors), call_rows):
        session.run(["score"], {"vector": vectors[start : start + call_rows]})


def _both(session: Any, halves: list[NDArray[np.float32]], call_rows: int) -> None:
    """ONNX Runtime lets the interpreter go while it computes, so threads are enough."""
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(lambda half: _score(session, half, call_rows), halves))


def ours(folder: Path, rows: int) -> dict[str, object]:
    """Our job's scorer, from the table of values straight to the scores table; twice."""

    def once(spark: SparkSession, root: Path) -> None:
        _publish(_scored(spark, folder, rows), root)

    return _twice(once, folder, rows)


def audited(folder: Path, rows: int) -> dict[str, object]:
    """As our job publishes: staged, audited, then to the scores table; twice."""
    from spark_jobs.audit import AuditLimits, audit
    from spark_jobs.staging import discard, stage

    profile = _profile(folder)

    def once(spark: SparkSession, root: Path) -> None:
        staged = stage(_scored(spark, folder, rows), str(root / "staged"))
        judged = staged.select("score", "decision", "nulls").toArrow()
        outcome = audit(judged, PLAN.vector, profile, AuditLimits(), expected_rows=rows)
        if outcome.faults:
            raise SystemExit(f"the audit refused: {outcome.faults}")
        _publish(staged, root)
        discard(spark, str(root / "staged"))

    return _twice(once, folder, rows)


def _scored(spark: SparkSession, folder: Path, rows: int) -> DataFrame:
    from spark_jobs.crash import CrashPoints
    from spark_jobs.scoring import SCORED, Model, PointScorer, Scorer

    scorer = Scorer(Model((folder / "model.onnx").read_bytes(), "bench"), PLAN, POLICY)
    points = _values(spark, folder, rows).select(
        *KEPT,
        F.lit(AS_OF).cast("date").alias("as_of"),
        F.lit("{}").alias("read_versions"),
        F.array(*NAMES).alias("values_0"),
    )
    kept = tuple(name for name in points.columns if name != "values_0")
    schema = StructType([points.schema[name] for name in kept] + SCORED.fields)
    return points.mapInArrow(PointScorer(scorer, kept, CrashPoints()), schema)


def _publish(scored: DataFrame, root: Path) -> None:
    from spark_jobs.delta import Commit, replace_where
    from spark_jobs.job import date_condition
    from spark_jobs.tables import scores_table
    from stores.layout import Layout

    subject = StructType([scored.schema[name] for name in KEPT[:2]])
    table = scores_table(Layout(root), "bench", subject)
    published = scored.withColumn("release", F.lit(1)).select(table.schema.names)
    replace_where(published, table, date_condition([AS_OF], "as_of"), Commit("scores", {}))


def _profile(folder: Path) -> Profile:
    """What training saw, of a hundred thousand rows."""
    vectors = vectors_of(100_000, seed=1)
    session = _session((folder / "model.onnx").read_bytes(), CORES)
    scores = session.run(["score"], {"vector": vectors})[0].reshape(-1)
    features = {
        name: histogram_of(vectors[:, place], (0.0,)) for place, name in enumerate(PLAN.vector)
    }
    score = histogram_of(scores, SCORE_EDGES)
    return Profile(n=len(vectors), features=features, score=score, decisions={})


def mlflow_udf(folder: Path, rows: int) -> dict[str, object]:
    """``mlflow.pyfunc.spark_udf`` over the same table, its score to Delta; twice."""
    import mlflow.pyfunc

    def once(spark: SparkSession, root: Path) -> None:
        udf = mlflow.pyfunc.spark_udf(
            spark, str(folder / "mlflow"), result_type="double", env_manager="local"
        )
        floats = [F.col(name).cast("float").alias(name) for name in NAMES]
        scored = _values(spark, folder, rows).select(
            *KEPT, F.lit(AS_OF).cast("date").alias("as_of"), udf(F.struct(*floats)).alias("score")
        )
        writer = scored.write.format("delta").partitionBy("as_of").mode("overwrite")
        writer.save(str(root / "scores"))

    return _twice(once, folder, rows)


def _values(spark: SparkSession, folder: Path, rows: int) -> DataFrame:
    return spark.read.format("delta").load(str(folder / f"values-{rows}"))


def _twice(once: Callable[..., None], folder: Path, rows: int) -> dict[str, object]:
    passes = []
    with scratch_folder(folder) as root, bench_session() as spark:
        for number in range(2):
            with Pass() as timed:
                once(spark, root / str(number))
            passes.append(timed)
        paths = [*root.glob("1/**/part-*.parquet")]
        written = sum(pq.read_metadata(path).num_rows for path in paths)
    return {**reported(passes), "rows": rows, "rows_written": written, "profile": PROFILE}


CASES = {"onnx_alone": onnx_alone, "ours": ours, "audited": audited, "mlflow_udf": mlflow_udf}


def main() -> None:
    case, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(CASES[case](folder, rows)))


if __name__ == "__main__":
    main()
