"""Counts of bad requests sent and of what came back, told when all were sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import requests

LATE = (TimeoutError, httpx.TimeoutException, requests.Timeout)


@dataclass
class Tally:
    """Requests of one sort; ``ours`` were answered by class 5xx, ``hung`` by nothing in time.

    Examples
    --------
    >>> tally = Tally("cases")
    >>> with tally.asked():
    ...     tally.took(422)
    >>> tally.said
    'input cases: 1 sent, 0 of class 5xx, 0 hung'
    """

    sort: str
    sent: int = 0
    ours: int = 0
    hung: int = 0

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Count one request, and its hanging where it hangs."""
        self.sent += 1
        try:
            yield
        except LATE:
            self.hung += 1
            raise

    def took(self, status: int) -> None:
        """Count its status; 0 where the connection ended."""
        self.ours += status >= 500

    @property
    def said(self) -> str:
        """A line that `make chaos` reads (`benchmarks/chaos/tests.py`)."""
        return f"input {self.sort}: {self.sent:,} sent, {self.ours} of class 5xx, {self.hung} hung"
