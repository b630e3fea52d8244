"""Prediction records as columns that can be counted: the vector, score and decision.

Records of answers that were degraded, and of synthetic requests, are left out: they say nothing
about the model or the world.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.features.plan import feature_column
from core.synthetic import RECORD_MARK

Batch: TypeAlias = pa.RecordBatch | pa.Table

READ = ("score", "decision", "degraded", "record")
"""Columns of the table of predictions that this reads."""


def whole_records(batch: Batch) -> Batch:
    """Rows of the table of predictions that count: not degraded, and not synthetic."""
    is_degraded = pc.is_valid(batch["degraded"])
    is_ours = pc.match_substring(batch["record"], RECORD_MARK)
    return batch.filter(pc.invert(pc.or_(is_degraded, is_ours)))


def record_columns(batch: Batch, vector: Sequence[str]) -> pa.Table:
    """Score, decision and every entry of the vector, one column each, of the rows that count.

    Parameters
    ----------
    batch
        Rows of the table of predictions, with the columns `READ`.
    vector
        Entries of the plan's vector, in order. A record of another plan has a vector of another
        length: its entries are null.
    """
    rows = whole_records(batch)
    vectors = [json.loads(text)["vector"] for text in rows["record"].to_pylist()]
    missing = [None] * len(vector)
    fitting = [found if len(found) == len(vector) else missing for found in vectors]
    values = np.array(fitting, dtype=np.float64).reshape(len(fitting), len(vector))
    columns = {"score": rows["score"], "decision": rows["decision"]}
    columns |= {
        feature_column(name): pa.array(values[:, place], from_pandas=True)
        for place, name in enumerate(vector)
    }
    return pa.table(columns)
