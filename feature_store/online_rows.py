"""The rows of an online request, as Feast's callers spell them, turned into points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.type_map import feast_value_type_to_python_type
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.keys import entity_key
from core.features.plan import Plan, ViewPlan

EVENT_TIMESTAMP = "event_timestamp"


@dataclass(frozen=True)
class OnlineRows:
    """Columns of an online request, all of one length.

    ``event_timestamp`` is optional: without it every row is asked as of ``now_ms``.
    """

    columns: Mapping[str, Sequence[Any]]
    n_rows: int
    now_ms: int

    @classmethod
    def of(cls, entity_rows: Any, now_ms: int) -> OnlineRows:
        """From a list of dictionaries, or from columns of Python or of Feast values.

        Raises
        ------
        InvalidInputError
            If rows have different names or columns different lengths.
        """
        columns = _columns(entity_rows)
        lengths = {len(values) for values in columns.values()}
        if len(lengths) != 1:
            raise InvalidInputError(
                "the entity rows are not a table",
                found=f"columns of {sorted(lengths)} rows",
                remedy="give every row the same names",
            )
        return cls(columns, lengths.pop(), now_ms)

    @property
    def at_ms(self) -> list[int]:
        """Instant of each row."""
        if EVENT_TIMESTAMP not in self.columns:
            return [self.now_ms] * self.n_rows
        instants = self.columns[EVENT_TIMESTAMP]
        return [self.now_ms if i is None else _instant_ms(i) for i in instants]

    def keys_of(self, view: ViewPlan) -> list[bytes]:
        """Entity key of each row for a view."""
        parts = [self._column(name, f"the view {view.name!r}") for name in view.join_keys]
        return [entity_key([_key_part(value) for value in row]) for row in zip(*parts, strict=True)]

    def request_arrays(self, plan: Plan) -> dict[str, NDArray[np.float64]]:
        """Request fields as ``request:name`` and ``at_ms``, NaN for null."""
        arrays = {"at_ms": np.array(self.at_ms, dtype=np.float64)}
        for field in plan.request_fields:
            values = self._column(field.name, "a request-time view")
            arrays[f"request:{field.name}"] = _numbers(field.name, values)
        return arrays

    def _column(self, name: str, reader: str) -> Sequence[Any]:
        if name not in self.columns:
            raise InvalidInputError(
                f"the entity rows lack {name!r}, which {reader} needs",
                found=", ".join(sorted(self.columns)),
                remedy="add it to every row",
            )
        return self.columns[name]


def _columns(entity_rows: Any) -> dict[str, list[Any]]:
    if isinstance(entity_rows, Mapping):
        return {name: _plain(values) for name, values in entity_rows.items()}
    names = set(entity_rows[0]) if entity_rows else set()
    if not names or any(set(row) != names for row in entity_rows):
        raise InvalidInputError(
            "entity rows must be there and have the same names",
            found=f"{len(entity_rows)} rows",
            remedy="give every row its join keys and request fields",
        )
    return {name: _plain([row[name] for row in entity_rows]) for name in entity_rows[0]}


def _plain(values: Any) -> list[Any]:
    """Python values of a column that may hold Feast's protobuf values."""
    items = values.val if isinstance(values, RepeatedValue) else values
    return [feast_value_type_to_python_type(v) if isinstance(v, Value) else v for v in items]


def _key_part(value: Any) -> str | int:
    """A join key value; numpy's integers count as integers."""
    return int(value) if isinstance(value, np.integer) else value


def _numbers(name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    try:
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"the request field {name!r} is not a number",
            found=f"{type(error).__name__} in {len(values)} rows",
            remedy="send numbers, or null",
        ) from error


def _instant_ms(instant: Any) -> int:
    if not isinstance(instant, datetime):
        raise InvalidInputError(
            f"{EVENT_TIMESTAMP!r} does not hold instants",
            found=type(instant).__name__,
            remedy="send datetimes; without a zone they count as UTC",
        )
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
