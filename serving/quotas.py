"""Quotas of keys over all processes of an installation: each tells the others what it let through.

A process counts for itself and asks nobody while a request waits. Twice a second, away from the
requests, it puts down what keys have spent here today and reads what the others put down. So a
quota holds however connections lie on workers and however often they start anew, and may be
exceeded by what comes elsewhere within half a second. While the others cannot be reached, what
they last said goes on to count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from uuid import uuid4

import msgspec

from core.clock import DAY_MS, Clock
from core.errors import DependencyError
from core.plural import counted
from serving.process import Told
from serving.telemetry.log_lines import Trouble
from stores.shared_counts import SharedCounts


class SharedQuotas:
    """What keys have spent of a day at other processes. Counts are points by key id.

    Parameters
    ----------
    counts
        Where processes count together; each has a document of its own there, which outlives it.
    """

    def __init__(self, counts: SharedCounts, clock: Clock, told: Told) -> None:
        self._counts = counts
        self._clock = clock
        self._told = told
        self._worker = uuid4().hex
        self._day = -1
        self._elsewhere: Mapping[str, int] = {}
        self._last: Mapping[str, int] = {}
        self._trouble = ""

    def elsewhere(self, key_id: str, day: int) -> int:
        """Points of a day (UTC, counted from the epoch) that others have let through."""
        return self._elsewhere.get(key_id, 0) if day == self._day else 0

    def exchange(self, ours: Mapping[str, int]) -> None:
        """Tell what was spent here today, and hear what was elsewhere; trouble is said once."""
        now_ms = self._clock.now_ms()
        day = now_ms // DAY_MS
        try:
            if day != self._day or ours != self._last:
                document = msgspec.json.encode(ours)
                self._counts.publish(_topic(day), self._worker, document, now_ms=now_ms)
            found, n_unread = self._read(day)
        except DependencyError as error:
            self._tell(f"quotas are counted in this process alone: {error}")
            return
        self._day, self._last, self._elsewhere = day, dict(ours), found
        unread = f"of what others let through, {counted(n_unread, 'documents')} cannot be read"
        self._tell(f"{unread}; see who else writes there" if n_unread else "")

    def _read(self, day: int) -> tuple[Counter[str], int]:
        """What others let through, and how many of their documents are none."""
        found: Counter[str] = Counter()
        n_unread = 0
        for worker, document in self._counts.read(_topic(day)).items():
            if worker != self._worker:
                try:
                    found.update(msgspec.json.decode(document, type=dict[str, int]))
                except ValueError:  # msgspec's errors are ValueErrors, as are codecs'
                    n_unread += 1
        return found, n_unread

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            self._told(Trouble(trouble))
        self._trouble = trouble


def _topic(day: int) -> str:
    return f"quotas-{day}"
