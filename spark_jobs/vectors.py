"""From points with their values to the model's inputs: transforms, then the vector's order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql.types import BinaryType, DataType, DoubleType, StructType

from core.features.plan import Plan, feature_column
from core.features.transforms import AT_MS, apply_transforms
from spark_jobs.host import kinds_of
from spark_jobs.tables import struct
from stores.frames.masked_columns import masked_column
from stores.masking import Mask

Floats = NDArray[np.float64]
ROW_DIGEST = "row_digest"


def vector_schema(plan: Plan, beside: Sequence[str] = ()) -> StructType:
    """Columns that a `Vectoriser` adds to those it keeps."""
    names = (*plan.vector, *beside)
    entries: dict[str, DataType] = {feature_column(name): DoubleType() for name in names}
    return struct(**entries, **{ROW_DIGEST: BinaryType()})


def plan_values(plan: Plan, batch: pa.RecordBatch) -> dict[str, Floats]:
    """Every value of the plan at the points of a batch, transforms applied; NaN is null.

    The batch has ``event_timestamp``, ``values_<k>`` and ``request_<field>`` columns, as
    `spark_jobs.host.point_in_time` and `spark_jobs.examples.examples_of` name them.
    """
    values: dict[str, Floats] = {AT_MS: at_ms_of(batch).astype(np.float64)}
    for index, kind in enumerate(kinds_of(plan.views)):
        flat = batch.column(f"values_{index}").flatten()
        matrix = floats_of(flat).reshape(len(batch), len(kind.features))
        values |= {name: matrix[:, place] for place, name in enumerate(kind.features)}
    for asked in plan.request_fields:
        values[f"request:{asked.name}"] = floats_of(batch.column(f"request_{asked.name}"))
    return values | apply_transforms(plan, values)


def at_ms_of(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Instants of a batch, epoch milliseconds."""
    stamps = batch.column("event_timestamp").cast(pa.timestamp("ms", tz="UTC"), safe=False)
    return np.asarray(stamps.cast(pa.int64()).to_numpy(zero_copy_only=False))


def floats_of(column: pa.Array) -> Floats:
    """A numeric column as float64, NaN for null."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def nullable(values: Floats) -> pa.Array:
    """Float64 column with null where the value is NaN."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))


@dataclass(frozen=True)
class Vectoriser:
    """Batches of points with values into batches of examples with their vector.

    ``kept`` are the columns that pass through, ``masks`` those of them whose values are masked on
    the way, and with what; ``beside`` are values that the vector lacks and decision rules read.
    ``row_digest`` covers all of a row as it leaves, so the digests of two tables tell whether
    their rows are equal, and no digest is of a value that was masked.
    """

    plan: Plan
    kept: tuple[str, ...]
    beside: tuple[str, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As a function for ``mapInArrow``."""
        for batch in batches:
            if batch.num_rows:
                yield self.vectors(batch)

    def vectors(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One batch."""
        values = plan_values(self.plan, batch)
        columns = {name: self._kept(batch, name) for name in self.kept}
        names = (*self.plan.vector, *self.beside)
        matrix = np.column_stack([values[name] for name in names])
        digests = row_digests(columns, matrix)
        columns |= {
            feature_column(name): nullable(matrix[:, place]) for place, name in enumerate(names)
        }
        columns[ROW_DIGEST] = pa.array(digests, pa.binary())
        return pa.RecordBatch.from_pydict(columns)

    def _kept(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        column = batch.column(name)
        if name not in self.masks:
            return column
        return masked_column(self.masks[name], pa.chunked_array([column])).chunk(0)


def row_digests(columns: dict[str, pa.Array], matrix: Floats) -> list[bytes]:
    """128 bits over each row: the text of its columns, then the bytes of its vector."""
    exact = np.where(np.isnan(matrix), np.nan, matrix)
    texts = zip(*(column.cast(pa.string()).to_pylist() for column in columns.values()), strict=True)
    return [
        hashlib.blake2b(
            "\x1f".join(f"{len(t)}:{t}" if t is not None else "-" for t in row).encode()
            + exact[place].tobytes(),
            digest_size=16,
        ).digest()
        for place, row in enumerate(texts)
    ]
