"""Counts that workers share, of rollouts and of quotas: on one machine a file, else Redis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from core.clock import DAY_MS

KEPT_MS = 35 * DAY_MS
"""Counts of an experiment that nobody wrote to for so long are gone."""


class SharedCounts(Protocol):
    """Documents by experiment and worker, and the entities that each experiment has met."""

    def first_seen(self, experiment: str, entities: Sequence[bytes]) -> list[bool]:
        """Remember entities; of each, whether nobody had told of it before. One winner each."""
        ...

    def publish(self, experiment: str, worker: str, document: bytes, *, now_ms: int) -> None:
        """Put a worker's document in the place of its last one."""
        ...

    def read(self, experiment: str) -> dict[str, bytes]:
        """Last document of every worker, those that have ended too."""
        ...

    def forget(self, experiment: str) -> None:
        """Drop everything about an experiment."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


def open_shared_counts(online_url: str, path: Path, *, timeout_s: float = 1.0) -> SharedCounts:
    """Where the workers of this installation count: in the online store's Redis, else a file.

    Parameters
    ----------
    online_url
        URL of the online store.
    path
        SQLite file for an embedded one. A file of its own: the folder, which writes the online
        values, waits for nobody who counts.
    timeout_s
        Longest wait for one answer, or for another writer.
    """
    if online_url.startswith("sqlite:"):
        from stores.shared_counts.sqlite import SqliteSharedCounts

        return SqliteSharedCounts(path, timeout_s=timeout_s)
    from stores.shared_counts.redis import RedisSharedCounts

    return RedisSharedCounts(online_url, timeout_s=timeout_s)
