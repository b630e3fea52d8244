"""Whole columns checked at once: the quick way for a file that comes as columns.

The values of a column are of one type and most of them come again (a card, a terminal, an
amount), so each distinct value is converted and checked once and remembered. What is accepted
is what `RowMapper` and `RowParser` accept, value by value, with the same digest. A record with
anything else in it goes to those two, who say what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from core.mapping import RowMapper, converted
from core.rows.conversions import Conversion
from core.rows.field_checks import Check, RefusedValue
from core.rows.row_parser import (
    FUTURE_TOLERANCE_MS,
    ParsedRow,
    RowParser,
    Violation,
    digest_of,
    spelled,
)

REMEMBERED = 2**14
"""Distinct values of a column that are remembered: some 4 MiB for each column."""

Settle = Callable[[Any], Any]


class Settled(NamedTuple):
    """Rows of a block, column by column; None everywhere in a row that is refused.

    ``values`` are in the declared order of the source's fields; ``refused`` says why, by the
    place in the block, ascending.
    """

    event_ids: list[Any]
    event_ms: list[Any]
    payload_digests: list[Any]
    values: tuple[list[Any], ...]
    refused: dict[int, Violation]


class ColumnParser:
    """Contract of a source, with the mapping of a file where it has one.

    Parameters
    ----------
    parser
        The contract, row by row.
    mapper
        Makes rows of the file's records; None where its columns are the fields.

    Examples
    --------
    >>> from core.contracts import FieldSpec, Source
    >>> source = Source(name="s", description="", owner="",
    ...     fields=(FieldSpec(name="amount", type="int64", minimum=0),))
    >>> columns = {"event_id": ["a", "b"], "event_timestamp": [1, 2], "amount": [5, -5]}
    >>> found = ColumnParser(RowParser(source)).parse(columns, 2)
    >>> found.event_ids, found.values, found.refused[1].code
    (['a', None], ([5, None],), 'out_of_range')
    """

    def __init__(self, parser: RowParser, mapper: RowMapper | None = None) -> None:
        self._parser = parser
        self._mapper = mapper
        steps: dict[str, tuple[Conversion, ...]] = {}
        self._column_of = {name: name for name in parser.known}
        self._constants: dict[str, Any] = {}
        self._targets = set(parser.known)
        if mapper is not None:
            self._column_of = {name: column for name, column, _ in mapper.conversions}
            steps = {name: found for name, _, found in mapper.conversions}
            self._constants = mapper.constants
            self._targets = self._column_of.keys() | mapper.constants.keys()
        self._settle = {
            name: _settle(steps.get(name, ()), check, is_nullable=is_nullable)
            for name, is_nullable, check in parser.checks
        }

    def parse_record(
        self, raw: Mapping[str, Any], *, now_ms: int | None = None
    ) -> ParsedRow | Violation:
        """One record, mapped and checked against the contract."""
        row = raw if self._mapper is None else self._mapper.apply(raw)
        return row if isinstance(row, Violation) else self._parser.parse(row, now_ms=now_ms)

    def parse(
        self, columns: Mapping[str, Sequence[Any]], n_rows: int, *, now_ms: int | None = None
    ) -> Settled:
        """Rows of a block of records, each column a sequence of ``n_rows`` values.

        The values of a column must be of one type in all blocks, but for nulls. ``now_ms`` is
        the present instant, as in `RowParser.parse`.
        """
        left: set[int] = set()
        names = self._targets if self._mapper is not None else columns.keys()
        if not names <= self._parser.known:
            left.update(range(n_rows))
        found = [self._values(name, columns, n_rows, left) for name, _, _ in self._parser.checks]
        event_ids, event_ms, *values = found
        if now_ms is not None:
            latest_ms = now_ms + FUTURE_TOLERANCE_MS
            left.update(i for i, ms in enumerate(event_ms) if ms is not None and ms > latest_ms)
        rows = Settled(event_ids, event_ms, self._digests(event_ms, values), tuple(values), {})
        for place in sorted(left):
            raw = {name: column[place] for name, column in columns.items()}
            _put(rows, place, self.parse_record(raw, now_ms=now_ms))
        return rows

    def _values(
        self, name: str, columns: Mapping[str, Sequence[Any]], n_rows: int, left: set[int]
    ) -> list[Any]:
        """Checked values of one field; places that it does not accept are added to ``left``."""
        settle = self._settle[name]
        if self._column_of.get(name) in columns:
            return _settled(columns[self._column_of[name]], settle, left)
        alone: set[int] = set()
        (value,) = _settled([self._constants.get(name)], settle, alone)
        if alone:
            left.update(range(n_rows))
        return [value] * n_rows

    def _digests(
        self, event_ms: Sequence[int | None], values: Sequence[Sequence[Any]]
    ) -> list[str]:
        parts: list[Sequence[str | None]] = [[str(ms) for ms in event_ms]]
        has_nulls = False
        for name, index in self._parser.by_name:
            texts = [None if v is None else spelled(name, v) for v in values[index]]
            has_nulls = has_nulls or None in texts
            parts.append(texts)
        rows: Any = zip(*parts, strict=True)
        if has_nulls:
            rows = ([part for part in row if part is not None] for row in rows)
        return [digest_of(row) for row in rows]


def _settle(steps: tuple[Conversion, ...], check: Check, *, is_nullable: bool) -> Settle:
    """A field's conversions and its check as one function that remembers."""

    def settle(value: Any) -> Any:
        value = converted(value, steps)
        if value is None or (type(value) is str and not value):
            if is_nullable:
                return None
            raise RefusedValue("null_field", "must not be null or empty")
        return check(value)

    return lru_cache(REMEMBERED)(settle)


def _put(rows: Settled, place: int, found: ParsedRow | Violation) -> None:
    """Write what became of one record over what its columns said."""
    if isinstance(found, Violation):
        rows.refused[place] = found
        found = ParsedRow(*(None,) * 3, (None,) * len(rows.values))  # type: ignore[arg-type]
    rows.event_ids[place], rows.event_ms[place], rows.payload_digests[place], values = found
    for column, value in zip(rows.values, values, strict=True):
        column[place] = value


def _settled(values: Sequence[Any], settle: Settle, left: set[int]) -> list[Any]:
    try:
        return [settle(value) for value in values]
    except RefusedValue:
        pass
    found: list[Any] = []
    for place, value in enumerate(values):
        try:
            found.append(settle(value))
        except RefusedValue:
            left.add(place)
            found.append(None)
    return found
