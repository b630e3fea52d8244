"""Foreign files in which somebody stands under another name: a mapping makes the identifier of it.

``CUSTOMER_ID`` 596 that becomes ``card-596`` is found by no search for ``card-596``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.mapping import RowMapper, converted, read_mapping
from core.rows.field_checks import RefusedValue
from stores.log.line_records import parsed_line


def refused_rows_of(batch: Any, identifier: str) -> NDArray[np.bool_]:
    """Which refused records of a batch, each with its mapping, would have become rows of theirs."""
    theirs = np.zeros(batch.num_rows, bool)
    known: dict[str, MappedColumns] = {}
    pairs = zip(batch.column("raw").to_pylist(), batch.column("mapping").to_pylist(), strict=True)
    for place, (raw, document) in enumerate(pairs):
        record = parsed_line(raw.encode("utf-8", "surrogatepass")) if raw and document else None
        if isinstance(record, dict):
            columns = known.get(document) or MappedColumns(json.loads(document), identifier)
            known[document] = columns
            theirs[place] = columns.is_in_record(record)
    return theirs


class MappedColumns:
    """Columns of which a mapping makes an identifier.

    Examples
    --------
    >>> columns = MappedColumns({"source": "payments", "fields": {
    ...     "card_id": {"from": "CARD", "convert": [{"prefix": "card-"}]}}}, "card-7")
    >>> columns.is_in_record({"CARD": 7, "N": 1}), columns.is_in_record({"CARD": 71})
    (True, False)
    """

    def __init__(self, document: Mapping[str, Any], identifier: str) -> None:
        self._identifier = identifier
        self._conversions = RowMapper(read_mapping(dict(document))).conversions

    def is_in_record(self, raw: Mapping[str, Any]) -> bool:
        """Whether a record becomes a row of theirs."""
        return any(self._is(raw[column], steps) for _, column, steps in self._named(raw))

    def rows_of(self, batch: Any) -> NDArray[np.bool_]:
        """Which rows of an Arrow batch become rows of theirs; a distinct value is mapped once."""
        theirs = np.zeros(batch.num_rows, bool)
        for _, name, steps in self._named(batch.schema.names):
            encoded = batch.column(name).dictionary_encode()
            values = encoded.dictionary.to_pylist()
            distinct = [*(self._is(value, steps) for value in values), False]
            places: NDArray[np.int64] = encoded.indices.fill_null(len(values)).to_numpy()
            theirs |= np.array(distinct, bool)[places]
        return theirs

    def _named(self, names: Any) -> list[Any]:
        return [each for each in self._conversions if each[1] in names]

    def _is(self, value: Any, steps: Any) -> bool:
        if value is None:
            return False
        try:
            return str(converted(value, steps)) == self._identifier
        except RefusedValue:
            return False
