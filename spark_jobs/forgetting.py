"""Rows that ingest passes over without a word: blanked ones, and those of who was forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.contracts import Source
from core.erasing.erasure import FORGOTTEN
from core.mapping import RowMapper, converted
from core.rows.column_parser import Settled
from core.rows.conversions import Conversion
from core.rows.field_checks import RefusedValue
from core.rows.row_parser import Violation
from stores.erasing.tombstones import Forgotten
from stores.log.epochs import Malformed

_SAID = Violation(FORGOTTEN, "", "")
"""No message: a message is for who looks at refused rows, and these are not among them."""


def passed_over(
    rows: Settled,
    raws: dict[int, dict[str, Any] | Malformed],
    source: Source,
    forgotten: Forgotten | None,
    mapper: RowMapper | None = None,
) -> None:
    """Mark such rows among ``rows`` and keep nothing of them; ``raws`` are the refused ones.

    A refused record may name them by what ``mapper`` makes of it alone.
    """
    found = [
        place
        for place, raw in raws.items()
        if _is_blank(raw) or (forgotten is not None and _names(raw, forgotten, mapper))
    ]
    if forgotten is not None:
        found += _accepted(rows, source, forgotten)
    for place in found:
        raws.pop(place, None)
        rows.refused[place] = _SAID
        for column in (rows.event_ids, rows.payload_digests, *rows.values):
            column[place] = None


def _accepted(rows: Settled, source: Source, forgotten: Forgotten) -> list[int]:
    """Places of rows that keep the contract and are of somebody; a value is masked once."""
    places: set[int] = set()
    for index in forgotten.columns(source):
        column = rows.values[index]
        theirs = {value for value in set(column) if forgotten.is_of(value)}
        if theirs:
            places.update(place for place, value in enumerate(column) if value in theirs)
    return sorted(places)


def _is_blank(raw: Mapping[str, Any] | Malformed) -> bool:
    return isinstance(raw, Mapping) and len(raw) > 0 and all(v is None for v in raw.values())


def _names(
    raw: Mapping[str, Any] | Malformed, forgotten: Forgotten, mapper: RowMapper | None
) -> bool:
    if isinstance(raw, Malformed):
        return forgotten.is_in_record(raw.raw)
    if forgotten.is_in_record(raw):
        return True
    conversions = mapper.conversions if mapper is not None else ()
    return any(
        forgotten.is_of(_mapped(raw[column], steps))
        for _, column, steps in conversions
        if column in raw
    )


def _mapped(value: Any, steps: tuple[Conversion, ...]) -> Any:
    try:
        return converted(value, steps)
    except RefusedValue:
        return None
