"""Entity codes: the join key columns of an Arrow table as one small integer a row.

Each key column is coded by its own dictionary and the codes are combined as integers, so
that no two tuples of keys can run together, whatever their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import InvalidInputError
from core.features.arrays import Codes, IntArray
from stores.frames.columns import column_of

UNKNOWN = -1


@dataclass(frozen=True)
class EntityCoder:
    """Codes from 0 for the entities of one table, given to the rows of any other.

    ``values`` holds each key column's distinct values; ``pairs`` the distinct numbers of
    (code so far, code of this column), None for the first column.
    """

    join_keys: tuple[str, ...]
    values: tuple[pa.Array, ...]
    pairs: tuple[pa.Array | None, ...]

    @classmethod
    def of(cls, join_keys: Sequence[str], table: pa.Table) -> EntityCoder:
        """Coder of the entities of ``table``; a row with a null key part is none.

        Raises
        ------
        InvalidInputError
            If a key column is not there, or holds neither text nor integers.
        """
        values = tuple(pc.unique(key_column(table, name)).drop_null() for name in join_keys)
        pairs: list[pa.Array | None] = []
        for name in join_keys:
            coder = cls(tuple(join_keys), values, tuple(pairs))
            combined = coder._combined(table, name, len(pairs))
            pairs.append(pc.unique(pa.array(combined[combined >= 0])) if pairs else None)
        return cls(tuple(join_keys), values, tuple(pairs))

    def codes(self, table: pa.Table) -> Codes:
        """Code of each row's entity; -1 for an entity that the coder's table lacks.

        Raises
        ------
        InvalidInputError
            If a key column is not there, or holds neither text nor integers.
        """
        return self._codes(table, len(self.join_keys))

    def _codes(self, table: pa.Table, n_keys: int) -> Codes:
        name, pairs = self.join_keys[n_keys - 1], self.pairs[n_keys - 1]
        combined = self._combined(table, name, n_keys - 1)
        if pairs is None:
            return combined
        return _places(pa.chunked_array([pa.array(combined)]), pairs)

    def _combined(self, table: pa.Table, name: str, n_before: int) -> Codes:
        """Number of (code of the keys before, code of this column); -1 for an unknown part."""
        places = _places(key_column(table, name), self.values[n_before])
        if n_before == 0:
            return places
        before = self._codes(table, n_before).astype(np.int64)
        combined = before * len(self.values[n_before]) + places
        combined[(before < 0) | (places < 0)] = UNKNOWN
        return combined


def first_rows(codes: Codes) -> IntArray:
    """The first row of each code, in order of codes.

    Examples
    --------
    >>> first_rows(np.array([1, 0, 1, -1])).tolist()
    [1, 0]
    """
    firsts = np.zeros(int(codes.max(initial=UNKNOWN)) + 1, np.int64)
    known = np.flatnonzero(codes >= 0)[::-1]
    firsts[codes[known]] = known  # the last write of a code is its first row
    return firsts


def _places(column: pa.ChunkedArray, values: pa.Array) -> Codes:
    """Place of each value among ``values``; -1 for null and for what is not there."""
    if column.type != values.type:  # text on one side: integers are their decimal text
        column, values = column.cast(pa.string()), values.cast(pa.string())
    places: Codes = pc.index_in(column, value_set=values).fill_null(UNKNOWN).to_numpy()
    return places


def key_column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A join key column as int64 or as text.

    Raises
    ------
    InvalidInputError
        If it is not there, or holds neither text nor integers.
    """
    column = column_of(table, name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    raise InvalidInputError(
        f"the join key {name!r} holds neither text nor integers",
        found=str(column.type),
        remedy="declare it as string or int64",
    )
