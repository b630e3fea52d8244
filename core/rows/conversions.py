"""Named conversions of a mapping: what may happen to a foreign value before its check.

Each takes a value that is not null and returns another, or raises ``RefusedValue``. There
is no way to write an expression: a mapping is data that a reviewer can read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from core.errors import ConfigurationError
from core.features.windows import parse_duration
from core.rows.field_checks import (
    INT64_MAX,
    instant_ms,
    real_number,
    refuse,
    whole_number,
)

Conversion = Callable[[Any], Any]

_MAX_DIGITS = 6
_EXACT_FLOAT = 2.0**53
_FLOAT_NOISE = 1e-6
"""Largest distance, in minor units, that a sum of decimal fractions may have from its cent."""


def to_minor_units(digits: int = 2) -> Conversion:
    """Integer minor units of a decimal amount: ``12.34`` becomes 1234 with 2 digits.

    A text is exact. A float is taken as the nearest minor unit, and refused where it is
    neither the float closest to it nor within a millionth of one: a fraction of a cent is
    never dropped in silence.

    Examples
    --------
    >>> convert = to_minor_units()
    >>> convert(0.29), convert("1204.5"), convert(7)
    (29, 120450, 700)
    """
    if not 0 <= digits <= _MAX_DIGITS:
        raise ConfigurationError(
            f"minor units have 0 to {_MAX_DIGITS} digits", found=str(digits), remedy="write 2"
        )
    scale = 10**digits

    def convert(value: Any) -> int:
        if isinstance(value, str | Decimal):
            return _scaled_decimal(value, digits)
        scaled: float = real_number(value) * scale
        if abs(scaled) > _EXACT_FLOAT:
            refuse("out_of_range", "must be an amount that a float holds to the minor unit")
        nearest = round(scaled)
        if nearest / scale != value and abs(scaled - nearest) > _FLOAT_NOISE:
            refuse("wrong_type", f"must have at most {digits} decimals")
        return nearest

    return convert


def _scaled_decimal(value: str | Decimal, digits: int) -> int:
    real_number(value)  # refuses what is no number, and what is not finite
    try:
        scaled = Decimal(value).scaleb(digits)
    except InvalidOperation:
        refuse("out_of_range", "must be an amount that fits 64 bits")
    if abs(scaled) > INT64_MAX:
        refuse("out_of_range", "must be an amount that fits 64 bits")
    if scaled != int(scaled):
        refuse("wrong_type", f"must have at most {digits} decimals")
    return int(scaled)


def to_text(value: Any) -> str:
    """Text of a text, an integer or a boolean; a float without a fraction counts as integer.

    Examples
    --------
    >>> to_text(596), to_text(596.0), to_text("596")
    ('596', '596', '596')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(whole_number(value))


def to_bool(value: Any) -> bool:
    """Boolean of 0 and 1, ``true`` and ``false``, ``yes`` and ``no``, in any case."""
    text = to_text(value).lower()
    if text in ("1", "true", "yes"):
        return True
    if text not in ("0", "false", "no"):
        refuse("wrong_type", "must be 0 or 1, true or false, yes or no")
    return False


def parse_time(pattern: str = "") -> Conversion:
    """Epoch milliseconds of a time, by ``strptime`` pattern where one is given.

    Without a zone a time is UTC.

    Examples
    --------
    >>> parse_time()("1970-01-01T00:00:01+01:00"), parse_time("%d/%m/%Y")("02/01/1970")
    (-3599000, 86400000)
    """
    if not pattern:
        return instant_ms
    try:
        _by_pattern(datetime(2000, 1, 1, tzinfo=UTC).strftime(pattern), pattern)
    except ValueError as error:
        raise ConfigurationError(
            "a time pattern cannot be read", found=repr(pattern[:40]), remedy="see strptime"
        ) from error

    def convert(value: Any) -> int:
        try:
            return instant_ms(_by_pattern(to_text(value), pattern))
        except (ValueError, OverflowError):
            refuse("wrong_type", "must be a time in the mapping's pattern")

    return convert


def _by_pattern(text: str, pattern: str) -> datetime:
    return datetime.strptime(text, pattern)  # noqa: DTZ007 - without a zone it means UTC


def seconds_to_time(value: Any) -> int:
    """Epoch milliseconds of epoch seconds; a fraction is cut at the millisecond."""
    seconds = real_number(value)
    if abs(seconds) > _EXACT_FLOAT / 1_000:
        refuse("out_of_range", "must be epoch seconds of a date that exists")
    return math.floor(round(seconds * 1_000, 3))  # 1.001 * 1000 is a little below 1001


def plus_delay(delay: str) -> Conversion:
    """Instant a delay later, such as ``7d``.

    Examples
    --------
    >>> plus_delay("7d")(0)
    604800000
    """
    delay_ms = parse_duration(delay)
    return lambda value: instant_ms(value) + delay_ms


def prefix(text: str) -> Conversion:
    """Text with ``text`` before it; integers count as their decimal text."""
    return lambda value: text + to_text(value)


def translate(table: dict[str, Any]) -> Conversion:
    """Value that a table gives for a text or an integer; anything else is refused.

    Examples
    --------
    >>> translate({"Y": 1, "N": 0})("Y")
    1
    """
    if any(isinstance(key, bool) for key in table):
        raise ConfigurationError(
            "a table's keys are texts or integers", found="true or false", remedy="quote the key"
        )
    values = {str(key): value for key, value in table.items()}

    def convert(value: Any) -> Any:
        key = to_text(value)
        if key not in values:
            refuse("not_allowed", "must be a value that the mapping's table has")
        return values[key]

    return convert


_PLAIN: dict[str, Conversion] = {
    "to_text": to_text,
    "to_int": whole_number,
    "to_number": real_number,
    "to_bool": to_bool,
    "to_minor_units": to_minor_units(),
    "parse_time": instant_ms,
    "seconds_to_time": seconds_to_time,
    "strip": lambda value: to_text(value).strip(),
    "lower": lambda value: to_text(value).lower(),
    "upper": lambda value: to_text(value).upper(),
}
_WITH_ARGUMENT: dict[str, tuple[type, Callable[[Any], Conversion]]] = {
    "to_minor_units": (int, to_minor_units),
    "parse_time": (str, parse_time),
    "plus_delay": (str, plus_delay),
    "prefix": (str, prefix),
    "translate": (dict, translate),
}
CONVERSION_NAMES = tuple(sorted(_PLAIN.keys() | _WITH_ARGUMENT.keys()))


def conversion(name: str, argument: Any = None) -> Conversion:
    """Conversion of a name, compiled with its argument.

    Raises
    ------
    ConfigurationError
        If there is none of that name, or its argument is missing, superfluous or of the
        wrong kind.

    Examples
    --------
    >>> conversion("prefix", "card-")(7)
    'card-7'
    """
    if name not in CONVERSION_NAMES:
        raise ConfigurationError(
            "a mapping names a conversion that does not exist",
            found=repr(name[:40]),
            remedy=f"take one of {', '.join(CONVERSION_NAMES)}",
        )
    if argument is None and name in _PLAIN:
        return _PLAIN[name]
    kind, build = _WITH_ARGUMENT.get(name, (type(None), None))
    if build is None or not isinstance(argument, kind) or isinstance(argument, bool):
        expected = "no argument" if build is None else f"an argument of type {kind.__name__}"
        raise ConfigurationError(
            f"conversion {name} takes {expected}",
            found=repr(argument)[:40],
            remedy=f"write `{name}`" if build is None else f"write `{name}: ...`",
        )
    return build(argument)
