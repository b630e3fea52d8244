"""The contract of a source: what a row must look like, on every way in."""

from __future__ import annotations

from typing import Literal

from core.features.plan import ColumnType, Frozen

ColumnClass = Literal["public", "internal", "personal", "sensitive"]


class FieldSpec(Frozen):
    """One column of a source. ``minimum`` and ``maximum`` are inclusive."""

    name: str
    type: ColumnType
    column_class: ColumnClass = "internal"
    is_nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = 256
    pattern: str | None = None
    allowed: tuple[str, ...] = ()
    description: str = ""


class Reference(Frozen):
    """Values of ``columns`` must exist in ``target_columns`` of another source."""

    columns: tuple[str, ...]
    source: str
    target_columns: tuple[str, ...]


class Source(Frozen):
    """A log of rows with one contract.

    ``event_id``, ``event_timestamp`` are always there (declared once, here, not as
    fields); ``fields`` are the payload columns, entity keys among them.
    """

    name: str
    description: str
    owner: str
    fields: tuple[FieldSpec, ...]
    references: tuple[Reference, ...] = ()
    partitions: int = 1
    is_empty_allowed: bool = False
    retention_days: int = 365

    def field(self, name: str) -> FieldSpec:
        """Field called ``name``; KeyError when the contract has none."""
        for spec in self.fields:
            if spec.name == name:
                return spec
        raise KeyError(name)
