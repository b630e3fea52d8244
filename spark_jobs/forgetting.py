"""Rows that ingest passes over without a word: blanked ones, and those of who was forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.column_parser import Settled
from core.contracts import Source
from core.erasure import FORGOTTEN
from core.row_parser import Violation
from stores.epochs import Malformed
from stores.tombstones import Forgotten

_SAID = Violation(FORGOTTEN, "", "")
"""No message: a message is for who looks at refused rows, and these are not among them."""


def passed_over(
    rows: Settled,
    raws: dict[int, dict[str, Any] | Malformed],
    source: Source,
    forgotten: Forgotten | None,
) -> None:
    """Mark such rows among ``rows`` and keep nothing of them; ``raws`` are the refused ones."""
    found = [place for place, raw in raws.items() if _is_blank(raw) or _names(raw, forgotten)]
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


def _names(raw: Mapping[str, Any] | Malformed, forgotten: Forgotten | None) -> bool:
    if forgotten is None:
        return False
    return forgotten.is_in_record(raw.raw if isinstance(raw, Malformed) else raw)
