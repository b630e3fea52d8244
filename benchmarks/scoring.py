"""Batch scoring, Delta to Delta: 30 features, 200 boosted trees of depth 6.

``python -m benchmarks.scoring CASE FOLDER ROWS``: one case in this process, one JSON line.
``prepare`` makes the table of feature values, the model and MLflow's copy of it, once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.measure import Pass, reported

FEATURES, TREES, DEPTH, CORES = 30, 200, 6, 2
TRAINED_ON = 50_000
NAMES = tuple(f"f{place:02d}" for place in range(FEATURES))
KEPT = ("example_id", "card_id", "event_timestamp")
CALL_ROWS = (8_192, 65_536)
AS_OF = "2026-01-01"
AT_US = 1_767_225_600_000_000
FILES = 8


def vectors_of(n: int, *, seed: int) -> NDArray[np.float32]:
    """Features with 2 % nulls, half of them heavy-tailed."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((n, FEATURES), dtype=np.float32)
    vectors[:, FEATURES // 2 :] = np.exp(vectors[:, FEATURES // 2 :])
    vectors[generator.random((n, FEATURES)) < 0.02] = np.nan
    return vectors


def labels_of(vectors: NDArray[np.float32], *, seed: int) -> NDArray[np.int32]:
    """About 5 % positives that depend on sums and on products of features."""
    known = np.nan_to_num(vectors)
    noise = np.random.default_rng(seed).standard_normal(len(vectors))
    signal = known[:, :6].sum(axis=1) + known[:, 6] * known[:, 7] + known[:, 20] + noise
    return (signal > np.quantile(signal, 0.95)).astype(np.int32)


def prepare(folder: Path, rows: int) -> dict[str, object]:
    """Files of values, the ONNX model as training exports it, the same model for MLflow."""
    folder.mkdir(parents=True, exist_ok=True)
    with Pass() as timed:
        if not (folder / "model.onnx").exists():
            (folder / "model.onnx").write_bytes(trained())
            _to_mlflow(folder)
        if not (folder / f"values-{rows}").exists():
            _to_delta(folder, rows)
    return {"seconds": timed.seconds, "profile": "one process"}


def trained() -> bytes:
    """ONNX bytes of 200 trees by xgboost, exported as training does."""
    import xgboost

    from training.boosted import BoostedModel
    from training.calibration import Calibration
    from training.models import Scorer
    from training.onnx_export import to_onnx

    vectors = vectors_of(TRAINED_ON, seed=1)
    settings = {
        "objective": "binary:logistic",
        "max_depth": DEPTH,
        "learning_rate": 0.1,
        "tree_method": "hist",
        "nthread": CORES,
        "seed": 1,
    }
    matrix = xgboost.QuantileDMatrix(vectors, labels_of(vectors, seed=2), missing=np.nan)
    booster = xgboost.train(settings, matrix, num_boost_round=TREES)
    return to_onnx(Scorer(BoostedModel(booster), Calibration()), FEATURES)


def _to_mlflow(folder: Path) -> None:
    """The ONNX flavour, one thread a session: Spark runs one Python worker a core."""
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    signature = ModelSignature(Schema([TensorSpec(np.dtype(np.float32), (-1, FEATURES), "vector")]))
    mlflow.onnx.save_model(
        onnx.load(str(folder / "model.onnx")),
        str(folder / "mlflow"),
        signature=signature,
        pip_requirements=["onnxruntime"],
        onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
    )


def _to_delta(folder: Path, rows: int) -> None:
    from deltalake import write_deltalake

    share = rows // FILES
    for part in range(FILES):
        vectors = vectors_of(share, seed=100 + part).astype(np.float64)
        ids = np.arange(part * share, (part + 1) * share)
        table = {
            "example_id": pa.array(np.char.add("e", ids.astype("U10"))),
            "card_id": pa.array(np.char.add("card-", (ids % 100_000).astype("U6"))),
            "event_timestamp": pa.array(AT_US + ids, pa.timestamp("us", tz="UTC")),
        }
        table |= {
            name: pa.array(vectors[:, place], from_pandas=True) for place, name in enumerate(NAMES)
        }
        write_deltalake(str(folder / f"values-{rows}"), pa.table(table), mode="append")


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
            "one session, two threads": lambda s=inside, c=call_rows: _score(s, vectors, c),
            "two sessions, a thread each": lambda s=alone, c=call_rows, h=halves: _both(s, h, c),
        }
        for name, way in ways.items():
            _score(inside, vectors[:100_000], call_rows)
            with Pass() as timed:
                way()
            tried[f"{name}, {call_rows} rows a call"] = timed
    best = min(tried, key=lambda name: tried[name].seconds)
    rates = {name: round(rows / timed.seconds) for name, timed in tried.items()}
    return {**reported([tried[best]]), "rows": rows, "rates": rates, "profile": best}


def _session(model: bytes, threads: int):  # type: ignore[no-untyped-def]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _score(session, vectors: NDArray[np.float32], call_rows: int) -> None:  # type: ignore[no-untyped-def]
    for start in range(0, len(vectors), call_rows):
        session.run(["score"], {"vector": vectors[start : start + call_rows]})


def _both(session, halves, call_rows: int) -> None:  # type: ignore[no-untyped-def]
    """ONNX Runtime lets the interpreter go while it computes, so threads are enough."""
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(lambda half: _score(session, half, call_rows), halves))


def ours(folder: Path, rows: int) -> dict[str, object]:
    """Our job's scorer from Delta to the scores table, twice."""
    from pyspark.sql import functions as F  # noqa: N812
    from pyspark.sql.types import StructType

    from core.decisions import DecisionPolicy, Rule
    from core.features.plan import AttributeFeature, Plan, ViewPlan
    from spark_jobs.crash import CrashPoints
    from spark_jobs.delta import Commit, replace_where
    from spark_jobs.job import date_condition
    from spark_jobs.scoring import SCORED, Model, PointScorer, Scorer
    from spark_jobs.tables import scores_table
    from stores.layout import Layout

    view = ViewPlan(
        name="v1",
        entity="card",
        join_keys=("card_id",),
        source="values",
        columns=dict.fromkeys(NAMES, "float64"),
        attributes=tuple(AttributeFeature(name=name, column=name) for name in NAMES),
    )
    plan = Plan(
        service="bench",
        views=(view,),
        transforms=(),
        request_fields=(),
        vector=tuple(f"v1:{name}" for name in NAMES),
    )
    policy = DecisionPolicy(
        rules=(
            Rule(decision="BLOCK", above=0.9, reason="very_likely"),
            Rule(decision="REVIEW", above=0.5, reason="likely"),
        ),
        default="APPROVE",
        default_reason="no_sign",
    )
    scorer = Scorer(Model((folder / "model.onnx").read_bytes(), "bench"), plan, policy)

    def once(spark, root: Path) -> None:  # type: ignore[no-untyped-def]
        values = spark.read.format("delta").load(str(folder / f"values-{rows}"))
        points = values.select(*KEPT, F.array(*NAMES).alias("values_0"))
        schema = StructType([points.schema[name] for name in KEPT] + SCORED.fields)
        scored = points.mapInArrow(PointScorer(scorer, KEPT, CrashPoints()), schema)
        dated = (
            scored.withColumn("as_of", F.lit(AS_OF).cast("date"))
            .withColumn("release", F.lit(1))
            .withColumn("read_versions", F.lit("{}"))
        )
        subject = StructType([scored.schema[n] for n in KEPT[:2]])
        table = scores_table(Layout(root), "bench", subject)
        replace_where(dated, table, date_condition([AS_OF], "as_of"), Commit("scores", {}))

    return _twice(once, folder, rows)


def mlflow_udf(folder: Path, rows: int) -> dict[str, object]:
    """``mlflow.pyfunc.spark_udf`` over the same table, its score to Delta, twice."""
    import mlflow.pyfunc
    from pyspark.sql import functions as F  # noqa: N812

    def once(spark, root: Path) -> None:  # type: ignore[no-untyped-def]
        values = spark.read.format("delta").load(str(folder / f"values-{rows}"))
        udf = mlflow.pyfunc.spark_udf(
            spark, str(folder / "mlflow"), result_type="double", env_manager="local"
        )
        vector = F.array(*[F.col(name).cast("float") for name in NAMES])
        scored = values.select(
            *KEPT, F.lit(AS_OF).cast("date").alias("as_of"), udf(vector).alias("score")
        )
        scored.write.format("delta").partitionBy("as_of").mode("overwrite").save(
            str(root / "scores")
        )

    return _twice(once, folder, rows)


def _twice(once: Callable[..., None], folder: Path, rows: int) -> dict[str, object]:
    from benchmarks.sessions import PROFILE, bench_session, scratch_folder

    passes = []
    with scratch_folder(folder) as root, bench_session() as spark:
        for number in range(2):
            with Pass() as timed:
                once(spark, root / str(number))
            passes.append(timed)
        paths = [*root.glob("1/**/part-*.parquet")]
        written = sum(pq.read_metadata(path).num_rows for path in paths)
    return {**reported(passes), "rows": rows, "rows_written": written, "profile": PROFILE}


CASES = {"prepare": prepare, "onnx_alone": onnx_alone, "ours": ours, "mlflow_udf": mlflow_udf}


def main() -> None:
    case, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(CASES[case](folder, rows)))


if __name__ == "__main__":
    main()
