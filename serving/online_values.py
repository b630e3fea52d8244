"""How the service reaches the online store: one way for its answers, one for claims of events.

Answers read through a budget and a breaker of their own, so that a store that is slow, silent or
gone costs an answer some milliseconds and its features, and never more.
"""

from __future__ import annotations

from core.breaker import Breaker
from core.clock import Clock
from core.ports import OnlineStore
from serving.guard import MOST_FAILURES, REST_S, Guard, GuardedReader
from serving.ports import DirectReader, Reader, ThreadedReader
from serving.process import Told
from serving.settings import Settings
from serving.telemetry.metrics import Telemetry
from stores.online import open_online_store
from stores.online.redis_reads import TickReader

LOCKED_S = 0.02
"""Longest wait for a lock on an embedded file. The loop stands still meanwhile; readers need a
lock only while the file is recovered or taken over by another program."""
CLAIM_BUDGET_MS = 1_500
"""More than the store's own patience of a second, which ends the thread that waits."""


class OnlineValues:
    """The store that the settings name, and the two guarded ways to it."""

    def __init__(self, settings: Settings, clock: Clock, told: Told, telemetry: Telemetry) -> None:
        url, read_budget_ms = settings.online, settings.engine.read_budget_ms
        self.store = open_online_store(url)

        def guard(use: str, name: str, budget_ms: int | None) -> Guard:
            return Guard(
                name,
                Breaker(most_failures=MOST_FAILURES, rest_s=REST_S),
                clock,
                budget_ms=budget_ms,
                told=told,
                changed=lambda state: telemetry.asked(use, is_asked=state == "closed"),
            )

        self._read_store = self.store
        if url.startswith("sqlite:"):
            self._read_store = open_online_store(url, timeout_s=LOCKED_S)
        reader = _reader(url, self._read_store, read_budget_ms)
        budget_ms = read_budget_ms if isinstance(reader, ThreadedReader) else None
        self.reader = GuardedReader(
            reader, guard("online_values", "reading online values", budget_ms)
        )
        self.claims = guard("event_claims", "claiming ids of events", CLAIM_BUDGET_MS)

    def close(self) -> None:
        """Give connections back."""
        self.reader.close()
        self._read_store.close()
        self.store.close()


def _reader(url: str, store: OnlineStore, budget_ms: int) -> Reader:
    """Values without holding up the loop: from a file at once, from one Redis by the tick.

    A connection to Redis that is silent for the budget is given up, and made anew.
    """
    if url.startswith("sqlite:"):
        return DirectReader(store)
    if url.startswith(("redis://", "unix://")):
        return TickReader(url, timeout_s=budget_ms / 1_000)
    return ThreadedReader(store)
