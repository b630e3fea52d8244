"""A training set as arrays: four disjoint parts in a fixed order.

The table says train, validation or test. Validation is cut in two here: one half stops
the fitting and picks its settings, the other calibrates and picks the candidate, so that
no row is asked twice for an opinion it has already been fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.plan import Plan, feature_column
from core.features.vector import vector_of

PARTS = ("train", "stop", "calibrate", "test")


@dataclass(frozen=True)
class Part:
    """Rows of one part, oldest first. ``vectors`` has shape ``(n, d)``, the rest ``(n,)``.

    ``values`` are what decision rules read, by qualified name: float64, as rules see it.
    """

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    at_ms: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_positive(self) -> int:
        """Rows whose label is 1."""
        return int(self.labels.sum())

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Part:
        """Those rows, as a part."""
        values = {name: array[rows] for name, array in self.values.items()}
        return Part(
            self.vectors[rows], self.labels[rows], self.weights[rows], self.at_ms[rows], values
        )


@dataclass(frozen=True)
class Examples:
    """A training set. ``names`` are the columns of the vectors: ``plan.vector``."""

    names: tuple[str, ...]
    train: Part
    stop: Part
    calibrate: Part
    test: Part

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Rows and positives of each part."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {name: (len(part), part.n_positive) for name, part in parts.items()}


def examples_of(
    plan: Plan,
    table: pa.Table,
    split: Literal["time", "stratified"] = "time",
    reads: Sequence[str] = (),
) -> Examples:
    """Examples of a training-set table.

    Parameters
    ----------
    plan
        The plan that the table was built from.
    table
        Columns ``example_id``, ``event_timestamp``, ``label``, ``split``, ``weight`` and one
        float64 column per entry of the vector. The order of rows does not matter.
    split
        How validation is halved: each class by time, or every other row.
    reads
        Qualified names that decision rules read; each has a column.

    Raises
    ------
    InvalidInputError
        If a column is missing or a part lacks one of the classes.
    """
    names = tuple(dict.fromkeys((*plan.vector, *reads)))
    _check_columns(names, table)
    order = pc.sort_indices(
        table, sort_keys=[("event_timestamp", "ascending"), ("example_id", "ascending")]
    )
    rows = table.take(order)
    values = {name: rows[feature_column(name)].to_numpy().astype(np.float64) for name in names}
    instants = rows["event_timestamp"].cast(pa.timestamp("ms", tz="UTC"), safe=False)
    everything = Part(
        vectors=vector_of(plan, values),
        labels=rows["label"].to_numpy().astype(np.int64),
        weights=rows["weight"].to_numpy().astype(np.float64),
        at_ms=instants.cast(pa.int64()).to_numpy(),
        values={name: values[name] for name in reads},
    )
    part_of = np.asarray(rows["split"].to_pylist())
    validation = everything.take(part_of == "validation")
    is_first = _first_half(validation.labels, split)
    examples = Examples(
        names=plan.vector,
        train=everything.take(part_of == "train"),
        stop=validation.take(is_first),
        calibrate=validation.take(~is_first),
        test=everything.take(part_of == "test"),
    )
    _check_classes(examples)
    return examples


def _first_half(labels: NDArray[np.int64], split: str) -> NDArray[np.bool_]:
    is_first = np.zeros(len(labels), dtype=bool)
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        chosen = rows[::2] if split == "stratified" else rows[: (len(rows) + 1) // 2]
        is_first[chosen] = True
    return is_first


def _check_columns(names: Sequence[str], table: pa.Table) -> None:
    needed = ["example_id", "event_timestamp", "label", "split", "weight"]
    needed += [feature_column(name) for name in names]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise InvalidInputError(
            "the training set lacks columns",
            found=f"no {', '.join(missing)}",
            remedy="build the training set again from this declaration",
            code="training_columns",
        )


def _check_classes(examples: Examples) -> None:
    for name, (n_rows, n_positive) in examples.counts.items():
        if n_positive == 0 or n_positive == n_rows:
            raise InvalidInputError(
                f"the part {name!r} of the training set has one class only",
                found=f"{n_positive} positives among {n_rows} rows",
                remedy="widen the range of dates, or give validation and test a larger share",
                code="too_few_examples",
            )
