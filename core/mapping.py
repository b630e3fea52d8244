"""Mappings: how a foreign file's columns become the fields of a source, as reviewed data.

A mapping is a document (YAML beside a use case) with one entry a target field::

    source: transactions
    fields:
      event_id:        {from: TRANSACTION_ID, convert: [to_text]}
      event_timestamp: {from: TX_DATETIME, convert: [{plus_delay: 7d}]}
      amount_minor:    {from: TX_AMOUNT, convert: [to_minor_units]}
      country:         {constant: BE}

Columns that no entry names are left behind. One file may feed several sources, each
through a mapping of its own. Null stays null: no conversion ever sees one.
"""

from __future__ import annotations

import math
from collections import abc
from typing import Any

from pydantic import ValidationError

from core.contracts import EVENT_ID, EVENT_TIMESTAMP, Source
from core.errors import ConfigurationError, PlatformError
from core.features.plan import Frozen
from core.rows.conversions import Conversion, conversion
from core.rows.field_checks import RefusedValue
from core.rows.field_mapping import FieldMapping
from core.rows.row_parser import Violation

_MAX_SHOWN_NAMES = 20
_MAX_DEPTH = 8
"""Levels of a mapping: five of its own, and a table in a conversion."""


class Mapping(Frozen):
    """All fields of one source's rows, each from a column of the foreign file."""

    source: str
    fields: dict[str, FieldMapping]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the foreign file that are read, each once, in order of first use."""
        named = (spec.column for spec in self.fields.values() if spec.column is not None)
        return tuple(dict.fromkeys(named))

    @property
    def document(self) -> dict[str, Any]:
        """The mapping as JSON, from which ``read_mapping`` builds an equal one."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def read_mapping(document: object) -> Mapping:
    """Mapping of a parsed document, with every conversion in it known to exist.

    Raises
    ------
    ConfigurationError
        If the document has another shape, or names a conversion that does not exist or
        gives it a wrong argument.

    Examples
    --------
    >>> read_mapping({"source": "s", "fields": {"event_id": {"from": "ID"}}}).columns
    ('ID',)
    """
    try:
        mapping = Mapping.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ConfigurationError(
            "a mapping is not well formed",
            found=f"at {place}: {first['msg']}",
            remedy="write `source` and, under `fields`, one `from` or `constant` a field",
            code="bad_mapping",
        ) from error
    _check_plain(document)
    RowMapper(mapping)
    return mapping


def _check_plain(value: object, depth: int = 0) -> None:
    """Refuse what JSON does not give back as it was: the log keeps each mapping as JSON."""
    is_number = isinstance(value, float) and math.isfinite(value)
    if value is None or isinstance(value, str | int) or is_number:
        return
    if depth >= _MAX_DEPTH or not isinstance(value, dict | list | tuple):
        raise ConfigurationError(
            "a mapping holds a value that cannot be kept",
            found="too many levels" if depth >= _MAX_DEPTH else f"{value!r}"[:40],
            remedy="write texts, finite numbers, true and false only; quote dates",
            code="bad_mapping",
        )
    keys: abc.Iterable[object] = value if isinstance(value, dict) else ()
    for part in (*keys, *(value.values() if isinstance(value, dict) else value)):
        _check_plain(part, depth + 1)


def check_unmapped(source: Source, columns: abc.Collection[str]) -> None:
    """Refuse a file without a mapping of which no row could keep the contract.

    Raises
    ------
    ConfigurationError
        If it lacks a column that may not be null, or has one that is not declared.
    """
    required = {spec.name for spec in source.fields if not spec.is_nullable}
    required |= {EVENT_ID, EVENT_TIMESTAMP}
    known = required | {spec.name for spec in source.fields}
    missing, unknown = required - set(columns), set(columns) - known
    if missing or unknown:
        raise ConfigurationError(
            f"the file's columns are not those of source {source.name}",
            found=_listed(("it lacks", missing), ("it has besides", unknown)),
            remedy="give the file of this source, or say with --map which column is which field "
            "(docs/data.md shows how)",
            code="bad_columns",
        )


def check_target(mapping: Mapping, source: Source) -> None:
    """Refuse a mapping that does not fill the contract of ``source``.

    Raises
    ------
    ConfigurationError
        If it is for another source, leaves a required field out or fills an unknown one.
    """
    if mapping.source != source.name:
        raise ConfigurationError(
            f"the mapping is not for source {source.name}",
            found=f"a mapping for {mapping.source[:64]}",
            remedy="give the mapping that was written for this source",
            code="bad_mapping",
        )
    required = {spec.name for spec in source.fields if not spec.is_nullable}
    required |= {EVENT_ID, EVENT_TIMESTAMP}
    known = required | {spec.name for spec in source.fields}
    missing, unknown = required - mapping.fields.keys(), mapping.fields.keys() - known
    if missing or unknown:
        raise ConfigurationError(
            f"the mapping does not fit the contract of source {source.name}",
            found=_listed(("fields left out", missing), ("unknown fields", unknown)),
            remedy=f"map exactly the fields {', '.join(sorted(known))}",
            code="bad_mapping",
        )


def check_columns(mapping: Mapping, columns: abc.Collection[str]) -> None:
    """Refuse a mapping that reads a column the file does not have.

    Raises
    ------
    ConfigurationError
        Naming the columns that are missing and those that are there.
    """
    missing = [name for name in mapping.columns if name not in columns]
    if missing:
        raise ConfigurationError(
            f"the mapping names columns that the file lacks: {_shown(missing)}",
            found=f"a file with {_shown(columns)}",
            remedy="mend `from` in the mapping, or give the file it was written for",
            code="bad_mapping",
        )


def _listed(*said: tuple[str, abc.Collection[str]]) -> str:
    return "; ".join(f"{title} {_shown(sorted(names))}" for title, names in said if names)


def _shown(names: abc.Collection[str]) -> str:
    shown = [name[:64] for name in names][:_MAX_SHOWN_NAMES]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


class RowMapper:
    """A mapping compiled into one function from record to row. Pure; may be shared.

    Attributes
    ----------
    constants
        Value of each field that has the same in every row.
    conversions
        Name, column and compiled conversions of every other field.

    Examples
    --------
    >>> mapper = RowMapper(read_mapping({"source": "s", "fields": {
    ...     "event_id": {"from": "ID", "convert": ["to_text"]},
    ...     "card_id": {"from": "CARD", "convert": [{"prefix": "card-"}]}}}))
    >>> mapper.apply({"ID": 7, "CARD": 3, "MORE": 1})
    {'event_id': '7', 'card_id': 'card-3'}
    """

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.constants = {
            name: spec.constant for name, spec in mapping.fields.items() if spec.column is None
        }
        self.conversions = tuple(
            (name, spec.column, tuple(_compiled(name, step) for step in spec.convert))
            for name, spec in mapping.fields.items()
            if spec.column is not None
        )

    def apply(self, raw: abc.Mapping[str, Any]) -> dict[str, Any] | Violation:
        """Row of the source's fields; a column that the record lacks leaves its field out."""
        row: dict[str, Any] = dict(self.constants)
        for name, column, steps in self.conversions:
            if column not in raw:
                continue
            try:
                row[name] = converted(raw[column], steps)
            except RefusedValue as refused:
                return Violation(refused.code, name, refused.message)
        return row


def converted(value: Any, steps: tuple[Conversion, ...]) -> Any:
    """Value after all conversions; None as soon as it is null or empty text."""
    for step in steps:
        if value is None or (type(value) is str and not value):
            return None
        value = step(value)
    return value


def _compiled(field: str, step: str | dict[str, Any]) -> Conversion:
    if isinstance(step, dict) and len(step) != 1:
        raise ConfigurationError(
            f"a conversion of field {field[:64]} is not one name with one argument",
            found=f"{len(step)} entries",
            remedy="write each conversion as an entry of its own in the list",
            code="bad_mapping",
        )
    name, argument = (step, None) if isinstance(step, str) else next(iter(step.items()))
    try:
        return conversion(name, argument)
    except PlatformError as error:
        raise ConfigurationError(
            f"field {field[:64]}: {error.wrong}",
            found=error.found,
            remedy=error.remedy,
            code="bad_mapping",
        ) from error
