"""Seeded data of the scoring benchmark: values in Delta, a model of 200 trees, its declarations."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.trees import trained_trees
from core.decisions import DecisionPolicy, Rule
from core.features.plan import AttributeFeature, Plan, ViewPlan

FEATURES, CORES = 30, 2
TRAINED_ON = 50_000
NAMES = tuple(f"f{place:02d}" for place in range(FEATURES))
KEPT = ("example_id", "card_id", "event_timestamp")
AS_OF = "2026-01-01"
AT_US = 1_767_225_600_000_000
FILES = 8

VIEW = ViewPlan(
    name="v1",
    entity="card",
    join_keys=("card_id",),
    source="values",
    columns=dict.fromkeys(NAMES, "float64"),
    attributes=tuple(AttributeFeature(name=name, column=name) for name in NAMES),
)
PLAN = Plan(
    service="bench",
    views=(VIEW,),
    transforms=(),
    request_fields=(),
    vector=tuple(f"v1:{name}" for name in NAMES),
)
POLICY = DecisionPolicy(
    rules=(
        Rule(decision="BLOCK", above=0.9, reason="very_likely"),
        Rule(decision="REVIEW", above=0.5, reason="likely"),
    ),
    default="APPROVE",
    default_reason="no_sign",
)


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
    return np.asarray(signal > np.quantile(signal, 0.95), dtype=np.int32)


def prepare(folder: Path, rows: int) -> None:
    """Table of values, the ONNX model as training exports it, the same for MLflow; made once."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "mlflow").exists():
        (folder / "model.onnx").write_bytes(trained())
        _to_mlflow(folder)
    if not (folder / f"values-{rows}").exists():
        _to_delta(folder, rows)


def trained() -> bytes:
    """ONNX bytes of the trees, exported as training does."""
    vectors = vectors_of(TRAINED_ON, seed=1)
    return trained_trees(vectors, labels_of(vectors, seed=2))


def _to_mlflow(folder: Path) -> None:
    """The ONNX flavour, one thread a session: Spark runs one Python worker a core."""
    import mlflow.onnx
    import onnx

    mlflow.onnx.save_model(
        onnx.load(str(folder / "model.onnx")),
        str(folder / "mlflow"),
        pip_requirements=["onnxruntime"],
        onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
    )


def _to_delta(folder: Path, rows: int) -> None:
    """Eight files; moved into place whole, so that a run cut short leaves no half table."""
    from deltalake import write_deltalake

    half, share = folder / f".values-{rows}", rows // FILES
    shutil.rmtree(half, ignore_errors=True)
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
        write_deltalake(str(half), pa.table(table), mode="append")
    half.rename(folder / f"values-{rows}")
