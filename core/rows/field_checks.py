"""Checks of single values, compiled from a field's declaration.

A check takes any object that is not null and returns the value in its declared type, or
raises ``RefusedValue``. The common type is tested first by identity, which keeps a good
value below half a microsecond; all else goes through the slow, lenient path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np

from core.contracts import FieldSpec
from core.features.plan import ColumnType

Check = Callable[[Any], Any]

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
EARLIEST_MS = -62_135_596_800_000
"""0001-01-01T00:00:00Z, the first instant that has an event date."""
LATEST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last one."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ONE_CLASS = re.compile(r"\[[A-Za-z0-9_.:-]+\]\+")
_INT_TEXT = re.compile(r"[+-]?[0-9]+")
_FLOAT_TEXT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE_TEXT = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_ISO_TEXT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_MAX_INT_DIGITS = 40
_MAX_NUMBER_CHARACTERS = 400
_MAX_DECIMAL_EXPONENT = 400


class RefusedValue(Exception):  # noqa: N818 - a verdict on a value, not a fault of ours
    """A value that breaks its field's declaration. Never leaves ``core``."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(code)


def refuse(code: str, message: str) -> NoReturn:
    """Give up on the value; ``message`` says what it must be, never what it was."""
    raise RefusedValue(code, message)


def _plain(value: Any) -> Any:
    """Python value of a numpy scalar; instants as epoch milliseconds."""
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[ms]").astype(np.int64))
    return value.item() if isinstance(value, np.generic) else value


def whole_number(value: Any) -> int:
    """Int of what means one: an int, a float or decimal without a fraction, or its text."""
    value = _plain(value)
    if isinstance(value, bool):
        refuse("wrong_type", "must be an integer, not a boolean")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return _int_of_text(value)
    if isinstance(value, float | Decimal):
        return _int_of_real(value)
    refuse("wrong_type", "must be an integer")


def _int_of_text(text: str) -> int:
    if len(text) > _MAX_INT_DIGITS or _INT_TEXT.fullmatch(text) is None:
        refuse("wrong_type", "must be an integer")
    return int(text)


def _int_of_real(value: float | Decimal) -> int:
    if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        refuse("not_finite", "must be a finite number")
    if isinstance(value, Decimal) and value.adjusted() > _MAX_DECIMAL_EXPONENT:
        refuse("out_of_range", "must fit 64 bits")
    if value != int(value):
        refuse("wrong_type", "must be an integer, without a fraction")
    return int(value)


def real_number(value: Any) -> float:
    """Finite float of a number or its text; ``-0.0`` becomes ``0.0``."""
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        refuse("wrong_type", "must be a number")
    if isinstance(value, str):
        value = _number_of_text(value)
    try:
        number = float(value)
    except OverflowError:  # an int beyond 1e308
        number = math.inf
    except ValueError:  # a signalling NaN
        number = math.nan
    if not math.isfinite(number):
        refuse("not_finite", "must be a finite number")
    return number + 0.0


def _number_of_text(text: str) -> float:
    if len(text) > _MAX_NUMBER_CHARACTERS:
        refuse("wrong_type", "must be a number")
    if _FLOAT_TEXT.fullmatch(text) is None and _NOT_FINITE_TEXT.fullmatch(text) is None:
        refuse("wrong_type", "must be a number")
    return float(text)


def instant_ms(value: Any) -> int:
    """Epoch milliseconds of an int, an ISO 8601 text or a datetime; naive is UTC."""
    if isinstance(value, str) and _INT_TEXT.fullmatch(value) is None:
        if _ISO_TEXT.fullmatch(value) is None:
            refuse("wrong_type", "must be an ISO 8601 time or epoch milliseconds")
        return _ms_of_iso(value)
    if isinstance(value, datetime):
        return _ms_of_datetime(value)
    if isinstance(value, date):
        return (value.toordinal() - _EPOCH.toordinal()) * 86_400_000
    return whole_number(value)


def _ms_of_iso(text: str) -> int:
    try:
        return _ms_of_datetime(datetime.fromisoformat(text))
    except ValueError:
        refuse("wrong_type", "must be a time that exists")


def _ms_of_datetime(value: datetime) -> int:
    try:
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        milliseconds = (aware - _EPOCH) // _MILLISECOND
    except (ValueError, TypeError, OverflowError):
        refuse("wrong_type", "must be a time that exists")
    if not isinstance(milliseconds, int):  # pandas' NaT is a datetime, and divides to NaN
        refuse("wrong_type", "must be a time, not a missing one")
    return milliseconds


def _int_check(spec: FieldSpec) -> Check:
    low = INT64_MIN if spec.minimum is None else max(INT64_MIN, math.ceil(spec.minimum))
    high = INT64_MAX if spec.maximum is None else min(INT64_MAX, math.floor(spec.maximum))
    too_low, too_high = f"must be at least {low}", f"must be at most {high}"

    def check(value: Any) -> int:
        number = value if type(value) is int else whole_number(value)
        if low <= number <= high:
            return number
        refuse("out_of_range", too_low if number < low else too_high)

    return check


def _float_check(spec: FieldSpec) -> Check:
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum
    too_low, too_high = f"must be at least {low}", f"must be at most {high}"

    def check(value: Any) -> float:
        number = real_number(value)
        if low <= number <= high:
            return number
        refuse("out_of_range", too_low if number < low else too_high)

    return check


def _string_check(spec: FieldSpec) -> Check:
    max_length, allowed = spec.max_length, frozenset(spec.allowed)
    fullmatch = re.compile(spec.pattern).fullmatch if spec.pattern is not None else None
    too_long = f"must be at most {max_length} characters"

    def check(value: Any) -> str:
        text = value if type(value) is str else _plain(value)
        if not isinstance(text, str):
            refuse("wrong_type", "must be text")
        if len(text) > max_length:
            refuse("too_long", too_long)
        if not text.isascii() or "\0" in text or not text:
            _check_characters(text)
        if fullmatch is not None and fullmatch(text) is None:
            refuse("pattern", "must match the declared pattern")
        if allowed and text not in allowed:
            refuse("not_allowed", "must be one of the declared values")
        return str(text)

    members = "" if allowed or spec.pattern is None else members_of(spec.pattern)
    return check if not members else _member_check(members, max_length, check)


def _member_check(members: str, max_length: int, whole: Check) -> Check:
    """Look at once whether a text is short and of certain characters; ``whole`` says what is not.

    To strip them from a text takes less than to match it.
    """

    def check(value: Any) -> Any:
        if type(value) is str and 0 < len(value) <= max_length and not value.strip(members):
            return value
        return whole(value)

    return check


def members_of(pattern: str) -> str:
    """Characters of which a pattern wants a text to be made; none where it asks for more.

    Examples
    --------
    >>> members_of("[a-c_.-]+")
    '-._abc'
    >>> members_of("[^a]+"), members_of("[a-c]+x"), members_of("[a-é]+")
    ('', '', '')
    """
    if _ONE_CLASS.fullmatch(pattern) is None:
        return ""
    member = re.compile(pattern).fullmatch
    return "".join(filter(member, map(chr, range(128))))


def _check_characters(text: str) -> None:
    """Refuse what cannot be stored: nothing, NUL, code points that are no characters."""
    if not text:
        refuse("null_field", "must not be empty")
    if "\0" in text:
        refuse("wrong_type", "must be text without NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse("wrong_type", "must be valid Unicode text")


def _bool_check(spec: FieldSpec) -> Check:
    del spec  # a bool has nothing else to declare

    def check(value: Any) -> bool:
        plain = _plain(value)
        if isinstance(plain, bool):
            return plain
        if isinstance(plain, str) and plain.lower() in ("true", "false"):
            return plain.lower() == "true"
        refuse("wrong_type", "must be true or false")

    return check


def _instant_check(spec: FieldSpec) -> Check:
    low = EARLIEST_MS if spec.minimum is None else max(EARLIEST_MS, math.ceil(spec.minimum))
    high = LATEST_MS if spec.maximum is None else min(LATEST_MS, math.floor(spec.maximum))

    def check(value: Any) -> int:
        instant = value if type(value) is int else instant_ms(value)
        if low <= instant <= high:
            return instant
        refuse("out_of_range", f"must lie between {low} and {high} epoch milliseconds")

    return check


_CHECKS: dict[ColumnType, Callable[[FieldSpec], Check]] = {
    "int64": _int_check,
    "float64": _float_check,
    "string": _string_check,
    "bool": _bool_check,
    "timestamp": _instant_check,
}


def check_of(spec: FieldSpec) -> Check:
    """Check compiled for one field; it is never called with None.

    Examples
    --------
    >>> check = check_of(FieldSpec(name="amount", type="float64", minimum=0))
    >>> check("12.5")
    12.5
    """
    return _CHECKS[spec.type](spec)
