"""Dates as people write them on the command line: read, in order, and within the axis."""

from datetime import date

from assets.partitions import FIRST_DATE
from core.clock import event_date
from core.errors import InvalidInputError


def date_called(text: str, *, now_ms: int) -> str:
    """Event date that a person wrote, as the axis spells it.

    Raises
    ------
    InvalidInputError
        If it is no date, lies before the first one that is computed for, or in the future.
    """
    today = event_date(now_ms)
    try:
        found = date.fromisoformat(text).isoformat()
    except ValueError:
        raise _refused("a date cannot be read", repr(text[:40]), today) from None
    if not FIRST_DATE <= found <= today:
        raise _refused("there is nothing to compute for this date", found, today)
    return found


def dates_called(first: str, last: str, *, now_ms: int) -> tuple[str, str]:
    """First and last date of a range, the first one not behind the last.

    Raises
    ------
    InvalidInputError
        If one of them is refused by ``date_called``, or they are the wrong way round.
    """
    dates = date_called(first, now_ms=now_ms), date_called(last, now_ms=now_ms)
    if dates[0] > dates[1]:
        raise InvalidInputError(
            "the first date is behind the last one",
            found=f"{dates[0]} to {dates[1]}",
            remedy="give the earlier date first",
            code="bad_date",
        )
    return dates


def _refused(wrong: str, found: str, today: str) -> InvalidInputError:
    remedy = f"write a date such as {today}, from {FIRST_DATE} to {today} (UTC)"
    return InvalidInputError(wrong, found=found, remedy=remedy, code="bad_date")
