"""Shipping: sealed segments of this machine's records go to shared storage.

A segment is put there under its own name and then moved aside here, so a crash in between
ships it again, to the same effect. One process of a machine ships at a time; which, does not
matter. While storage fails segments wait on this machine, and the service answers on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.clock import HOUR_MS, Clock
from core.errors import DependencyError
from serving.process import Told
from serving.telemetry.log_lines import Trouble
from stores.layout import Layout
from stores.records.segments import SHIPPED
from stores.records.shared import SegmentStore, open_segments

SWEEP_EVERY_MS = HOUR_MS


class Shipper:
    """Ships the segments of every use case that this machine has records of.

    Parameters
    ----------
    keep_ms
        How long a shipped segment stays on this machine, where a record is found by its id.
    """

    def __init__(
        self,
        layout: Layout,
        clock: Clock,
        told: Told,
        *,
        keep_ms: int,
        opened: Callable[[str], SegmentStore] = open_segments,
    ) -> None:
        self._layout = layout
        self._clock = clock
        self._told = told
        self._keep_ms = keep_ms
        self._opened = opened
        self._stores: dict[str, SegmentStore] = {}
        self._is_failing = False
        self._swept_at_ms = 0

    def ship(self) -> int:
        """Ship what is sealed; how many segments went. Never raises for storage's sake."""
        count = 0
        try:
            for directory in self._directories():
                with _only_one(directory) as is_ours:
                    count += sum(self._ship(path) for path in _sealed(directory)) if is_ours else 0
        except (DependencyError, OSError) as error:
            if not self._is_failing:
                self._told(Trouble(f"records stay on this machine: {error}"))
            self._is_failing = True
            return count
        if self._is_failing:
            self._told("records go to shared storage again")
        self._is_failing = False
        self._sweep()
        return count

    def _directories(self) -> list[Path]:
        folder = self._layout.root / "records"
        return sorted(path for path in folder.glob("*/") if path.is_dir())

    def _ship(self, path: Path) -> bool:
        use_case = path.parent.name
        store = self._stores.get(use_case)
        if store is None:
            store = self._stores[use_case] = self._opened(self._layout.segments(use_case))
        store.put_file(path)
        shipped = path.parent / SHIPPED
        shipped.mkdir(exist_ok=True, mode=0o700)
        path.rename(shipped / path.name)
        return True

    def _sweep(self) -> None:
        """Remove shipped segments that are older than what is kept here."""
        now_ms = self._clock.now_ms()
        if now_ms - self._swept_at_ms < SWEEP_EVERY_MS:
            return
        self._swept_at_ms = now_ms
        for directory in self._directories():
            for path in _sealed(directory / SHIPPED):
                with suppress(FileNotFoundError):
                    if now_ms - path.stat().st_mtime_ns // 1_000_000 > self._keep_ms:
                        path.unlink()


def _sealed(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.sealed")) if directory.is_dir() else []


@contextmanager
def _only_one(directory: Path) -> Iterator[bool]:
    """Whether nobody else of this machine ships from the folder meanwhile."""
    descriptor = os.open(directory / ".shipping", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)
