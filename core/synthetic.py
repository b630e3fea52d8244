"""Synthetic requests: asked by ourselves through the real path, marked, counted in no statistic.

The mark is the event id that the request names, which its record keeps. No event bears such an
id: it names nothing that happened, so no label can refer to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from core.contracts import FieldSpec
from core.errors import ConfigurationError

MARK = "synthetic:"
TEXT = "synthetic"
RECORD_MARK = f'"event_id":"{MARK}'
"""What every record of a synthetic request holds, as the service spells JSON, and no other:
in any other place the quotes would be escaped."""

Value = str | int | float | bool


def is_marked(event_id: str | None) -> bool:
    """Whether a request that names this event is synthetic."""
    return event_id is not None and event_id.startswith(MARK)


def is_synthetic(raws: Sequence[object]) -> bool:
    """Whether raw requests, of which nothing was checked yet, are synthetic, all of them.

    Examples
    --------
    >>> is_synthetic([{"event_id": "synthetic:1"}]), is_synthetic([{"event_id": 1}, None])
    (True, False)
    """
    for raw in raws:
        named = raw.get("event_id") if isinstance(raw, dict) else None
        if not isinstance(named, str) or not is_marked(named):
            return False
    return bool(raws)


def synthetic_value(spec: FieldSpec, given: Mapping[str, Value]) -> Value:
    """A value that a contract's field takes: what is declared, else an invented one.

    Raises
    ------
    ConfigurationError
        If the field asks for a pattern that nothing invented keeps, and no value is declared.

    Examples
    --------
    >>> synthetic_value(FieldSpec(name="card_id", type="string", pattern=r"[a-z]+"), {})
    'synthetic'
    >>> synthetic_value(FieldSpec(name="amount_minor", type="int64", minimum=5), {})
    5
    """
    if spec.name in given:
        return given[spec.name]
    if spec.allowed:
        return spec.allowed[0]
    if spec.type in ("int64", "float64", "timestamp"):
        least = 1.0 if spec.minimum is None else spec.minimum
        value = least if spec.maximum is None else min(least, spec.maximum)
        return value if spec.type == "float64" else int(value)
    if spec.type == "bool":
        return False
    return _text(spec)


def _text(spec: FieldSpec) -> str:
    if spec.pattern is not None and re.fullmatch(spec.pattern, TEXT) is None:
        raise ConfigurationError(
            f"no synthetic value fits the field {spec.name}",
            found=f"a pattern that {TEXT!r} does not keep",
            remedy=f"declare one: Watching(synthetic={{{spec.name!r}: ...}})",
        )
    return TEXT[: spec.max_length]
