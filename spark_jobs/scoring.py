"""A release inside Spark's workers: one ONNX session a worker, the policy on whole batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql.types import BinaryType, DoubleType, StringType, StructType

from core.decisions import Decider, DecisionPolicy
from core.features.plan import Plan
from core.features.vector import vector_of
from spark_jobs.crash import CrashPoints
from spark_jobs.tables import struct
from spark_jobs.vectors import plan_values
from stores.onnx_sessions import onnx_session
from stores.shelf.bundle import MODEL_INPUT, MODEL_OUTPUT

ROWS_A_CALL = 8_192
SCORED: StructType = struct(
    score=DoubleType(), decision=StringType(), reason=StringType(), nulls=BinaryType()
)
"""What scoring adds to a row. ``nulls`` has one bit an entry of the vector, null or not."""


@dataclass(frozen=True)
class Model:
    """A verified model on its way to the workers; equal digests are one model."""

    content: bytes
    digest: str

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.digest == self.digest


@lru_cache(maxsize=2)
def session_of(model: Model) -> Any:
    """Session of a model, made once a worker process."""
    return onnx_session(model.content)


@dataclass(frozen=True)
class Scorer:
    """Vectors to scores and decisions; travels to the workers."""

    model: Model
    plan: Plan
    policy: DecisionPolicy

    def scored(self, values: Mapping[str, NDArray[np.float64]]) -> dict[str, pa.Array]:
        """Columns of `SCORED` for arrays by qualified name: the vector, and what rules read."""
        vectors = vector_of(self.plan, values)
        session = session_of(self.model)
        parts = [
            session.run([MODEL_OUTPUT], {MODEL_INPUT: vectors[at : at + ROWS_A_CALL]})[0]
            for at in range(0, len(vectors), ROWS_A_CALL)
        ]
        scores = np.concatenate(parts).reshape(-1).astype(np.float64)
        decider = Decider.of(self.policy, self.plan)
        chosen = pa.array(decider.fired(scores, values))
        decisions = pa.array([outcome.decision for outcome in decider.outcomes])
        reasons = pa.array([outcome.reason for outcome in decider.outcomes])
        bits = np.packbits(np.isnan(vectors), axis=1)
        packed = pa.py_buffer(np.ascontiguousarray(bits).tobytes())
        nulls = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(bits.shape[1]), len(bits), [None, packed]
        )
        return {
            "score": pa.array(scores),
            "decision": decisions.take(chosen),
            "reason": reasons.take(chosen),
            "nulls": nulls.cast(pa.binary()),
        }


@dataclass(frozen=True)
class PointScorer:
    """Batches of points with their values into scored rows."""

    scorer: Scorer
    kept: tuple[str, ...]
    crash: CrashPoints

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As a function for ``mapInArrow``."""
        for batch in batches:
            if batch.num_rows:
                self.crash.reach("scores.in_worker")
                columns: dict[str, Any] = {name: batch.column(name) for name in self.kept}
                columns |= self.scorer.scored(plan_values(self.scorer.plan, batch))
                yield pa.RecordBatch.from_pydict(columns)
