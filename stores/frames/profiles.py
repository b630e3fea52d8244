"""Profiles of Arrow tables: every column counted in one pass, as much memory as there are bins.

Here the bins of a reference are chosen, batches are counted by them, and profiles become rows
of a table and come back. The same counter runs in this process and in a worker of Spark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.plan import digest_of
from core.stats.histogram import (
    Categories,
    ColumnProfile,
    Histogram,
    categories_of,
    counts_between,
    fine_edges_of,
)
from core.stats.profile import TableProfile

Counts = NDArray[np.int64]
Batch: TypeAlias = pa.RecordBatch | pa.Table

PROFILE_ROW = pa.schema(
    [
        ("event_date", pa.date32()),
        ("column", pa.string()),
        ("bins", pa.string()),
        ("edges", pa.list_(pa.float64())),
        ("categories", pa.list_(pa.string())),
        ("counts", pa.list_(pa.int64())),
        ("n", pa.int64()),
        ("n_null", pa.int64()),
    ]
)
"""``bins`` is the digest of the edges or categories; ``counts`` begin with the missing values,
those of categories end with all others."""


def reference_of(table: pa.Table, columns: Sequence[str] | None = None) -> TableProfile:
    """Profile of a reference, which is also the bins that others are counted by.

    Numbers get an edge at each of their distinct values where these are few, else at their
    quantiles; texts their most frequent values. Reads each column into memory once: give a
    sample of some hundred thousand rows where the reference is larger.

    Parameters
    ----------
    columns
        All of the table when None. Leave out what identifies a person: the most frequent
        values of a text column are written down.

    Raises
    ------
    InvalidInputError
        If a column is not there, or is neither numbers nor texts.
    """
    names = table.column_names if columns is None else columns
    _check_there(names, table)
    shape = TableProfile(columns={name: _bins_of(name, table[name]) for name in names})
    return counted([table], shape)


def _check_there(names: Iterable[str], batch: Batch) -> None:
    absent = [name for name in names if name not in batch.schema.names]
    if absent:
        raise InvalidInputError(
            "a column that is to be counted is not there",
            found=f"no {', '.join(absent[:10])}",
            remedy="name the columns that are there, or see what changed the table",
        )


def _bins_of(name: str, column: pa.ChunkedArray) -> ColumnProfile:
    if _is_text(column.type):
        found = pc.value_counts(column.cast(pa.string()).drop_null())
        texts, counts = (found.field(name).to_pylist() for name in ("values", "counts"))
        return categories_of(dict(zip(texts, counts, strict=True)))
    edges = fine_edges_of(floats_of(name, column))
    return Histogram(edges=edges, counts=(0,) * (len(edges) + 1), n_null=0)


def counted(batches: Iterable[Batch], bins: TableProfile, *, threads: int = 1) -> TableProfile:
    """Profile of all rows of ``batches``, counted by ``bins``; see `Counter`."""
    counter = Counter(bins)
    if threads <= 1:
        for batch in batches:
            counter.add(batch)
        return counter.profile()
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            counter.add(batch, pool)
    return counter.profile()


class Counter:
    """A table's profile while it grows.

    Parameters
    ----------
    bins
        A profile; what it has counted itself does not matter.
    """

    def __init__(self, bins: TableProfile) -> None:
        self._bins = bins
        self._columns = {name: _counter(column) for name, column in bins.columns.items()}
        self._counts = {name: np.zeros_like(c.bins) for name, c in bins.columns.items()}

    def add(self, batch: Batch, pool: ThreadPoolExecutor | None = None) -> None:
        """Count the rows of a batch; columns that the bins do not name are passed over.

        Raises
        ------
        InvalidInputError
            If a column is not there, or is not what its bins are for.
        """
        _check_there(self._columns, batch)
        counts = (pool.map if pool else map)(partial(self._count, batch), self._columns)
        for name, found in zip(self._columns, counts, strict=True):
            self._counts[name] += found

    def _count(self, batch: Batch, name: str) -> Counts:
        return self._columns[name](name, batch[name])

    def counts(self) -> Counts:
        """All counts as one row, column after column: for `TableProfile` on the other side."""
        return np.concatenate(list(self._counts.values()))

    def profile(self) -> TableProfile:
        """What was counted so far."""
        return profile_from(self._bins, self.counts())


def profile_from(bins: TableProfile, counts: Counts) -> TableProfile:
    """Profile of counts as `Counter.counts` gives them."""
    sizes = [len(column.bins) for column in bins.columns.values()]
    parts = np.split(counts, np.cumsum(sizes)[:-1])
    pairs = zip(bins.columns.items(), parts, strict=True)
    return TableProfile.model_construct(
        columns={name: column.with_bins(part) for (name, column), part in pairs}
    )


class _Numbers:
    """Counts a column of numbers between edges."""

    def __init__(self, column: Histogram) -> None:
        self._edges = np.asarray(column.edges, dtype=np.float64)

    def __call__(self, name: str, values: pa.Array | pa.ChunkedArray) -> Counts:
        return counts_between(floats_of(name, values), self._edges)


class _Texts:
    """Counts a column of texts by categories."""

    def __init__(self, column: Categories) -> None:
        self._known = pa.array(column.categories, pa.string())

    def __call__(self, name: str, values: pa.Array | pa.ChunkedArray) -> Counts:
        if not _is_text(values.type):
            raise _unfit(name, values.type, "texts")
        others = len(self._known)
        texts = values.cast(pa.string())  # nulls may also stand in a dictionary
        found = pc.index_in(texts, value_set=self._known)
        codes = pc.fill_null(found, others).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=others + 1).astype(np.int64)
        counts[others] -= texts.null_count
        return np.concatenate(([texts.null_count], counts))


def _counter(column: ColumnProfile) -> _Numbers | _Texts:
    return _Numbers(column) if isinstance(column, Histogram) else _Texts(column)


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def floats_of(name: str, column: pa.Array | pa.ChunkedArray) -> NDArray[np.floating]:
    """Numbers of a column, shape ``(n,)``, missing ones as NaN; float32 stays what it is."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise _unfit(name, kind, "numbers")
    is_array = isinstance(column, pa.Array)
    found = column.to_numpy(zero_copy_only=False) if is_array else column.to_numpy()
    values: NDArray[np.floating] = (
        found if found.dtype == np.float32 else found.astype(np.float64, copy=False)
    )
    return values


def _unfit(name: str, kind: pa.DataType, wanted: str) -> InvalidInputError:
    return InvalidInputError(
        f"column {name} cannot be counted as {wanted}",
        found=str(kind),
        remedy="leave it out, or see what changed its type",
    )


def profile_rows(profiles: Mapping[str, TableProfile]) -> pa.Table:
    """Rows of a table of profiles: one a date and column."""
    rows = []
    for event_date, profile in profiles.items():
        for name, column in profile.columns.items():
            is_numbers = isinstance(column, Histogram)
            places = column.edges if isinstance(column, Histogram) else column.categories
            rows.append(
                {
                    "event_date": date.fromisoformat(event_date),
                    "column": name,
                    "bins": digest_of(places),
                    "edges": places if is_numbers else None,
                    "categories": None if is_numbers else places,
                    "counts": column.bins.tolist(),
                    "n": column.n,
                    "n_null": column.n_null,
                }
            )
    return pa.Table.from_pylist(rows, schema=PROFILE_ROW)


def profiles_from(rows: pa.Table) -> dict[str, TableProfile]:
    """Profiles by date, from rows as `profile_rows` makes them."""
    found: dict[str, dict[str, ColumnProfile]] = {}
    for row in rows.select(PROFILE_ROW.names).to_pylist():
        shape: ColumnProfile
        if row["edges"] is not None:
            edges = tuple(row["edges"])
            shape = Histogram.model_construct(edges=edges, counts=(), n_null=0)
        else:
            categories = tuple(row["categories"])
            shape = Categories.model_construct(
                categories=categories, counts=(), n_other=0, n_null=0
            )
        found.setdefault(str(row["event_date"]), {})[row["column"]] = shape.with_bins(row["counts"])
    return {
        event_date: TableProfile.model_construct(columns=dict(sorted(columns.items())))
        for event_date, columns in sorted(found.items())
    }
