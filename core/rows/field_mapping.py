"""Where one field of a row comes from: a column, converted, or a constant."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, model_validator

from core.features.plan import Frozen


class FieldMapping(Frozen):
    """Where one target field comes from: a column, converted, or a constant.

    ``convert`` holds names (``to_text``) and one-entry objects (``{prefix: card-}``),
    applied in order. It is written as documents spell it, with ``from``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    column: str | None = Field(default=None, alias="from")
    constant: str | int | float | bool | None = None
    convert: tuple[str | dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _has_one_origin(self) -> FieldMapping:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give either `from` or `constant`")
        return self


def taken_from(column: str, *convert: str | dict[str, Any]) -> FieldMapping:
    """A field that comes from a column, through named conversions (`core.rows.conversions`).

    Examples
    --------
    >>> taken_from("amount", {"to_minor_units": 2}).column
    'amount'
    """
    return FieldMapping.model_validate({"from": column, "convert": convert})


def always(constant: str | float | bool) -> FieldMapping:  # noqa: FBT001 - the value itself
    """A field that is the same in every row.

    Examples
    --------
    >>> always("web").constant
    'web'
    """
    return FieldMapping(constant=constant)
