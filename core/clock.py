"""Time as an argument. Inside core an instant is an ``int`` of epoch milliseconds, UTC."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
SECOND_MS = 1_000


class Clock(Protocol):
    """Where the present comes from."""

    def now_ms(self) -> int:
        """Present instant, epoch milliseconds UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back; only differences mean anything."""
        ...


class SystemClock:
    """The machine's clock. Built in the roots only; everything else takes a ``Clock``."""

    def now_ms(self) -> int:
        """Present instant, epoch milliseconds UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()


@dataclass
class FixedClock:
    """A clock that moves only when told to: for tests and replays.

    Examples
    --------
    >>> clock = FixedClock(1_000)
    >>> clock.advance(500)
    >>> clock.now_ms(), clock.monotonic_s()
    (1500, 1.5)
    """

    instant_ms: int

    def now_ms(self) -> int:
        """Instant it was set to."""
        return self.instant_ms

    def monotonic_s(self) -> float:
        """Same instant, in seconds."""
        return self.instant_ms / 1_000

    def advance(self, by_ms: int) -> None:
        """Move forward by ``by_ms`` milliseconds."""
        self.instant_ms += by_ms


def event_date(instant_ms: int) -> str:
    """UTC date of an instant, ``YYYY-MM-DD``: the one partition axis.

    Examples
    --------
    >>> event_date(-1), event_date(0)
    ('1969-12-31', '1970-01-01')
    """
    return datetime.fromtimestamp(instant_ms / 1_000, tz=UTC).strftime("%Y-%m-%d")


def date_start_ms(date: str) -> int:
    """First instant of a UTC date.

    Examples
    --------
    >>> date_start_ms("1970-01-02")
    86400000
    """
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * 1_000
