"""A log, a store and one folder between them, with a clock that a test moves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memory_store import MemoryOnlineStore
from payments import NOW_MS, PAYMENTS, PLAN

from core.clock import FixedClock
from core.contracts import Source
from core.errors import DependencyError
from core.features.blob import base_key, delta_key
from core.features.keys import entity_key
from core.features.plan import ViewPlan
from core.features.reading import ViewReading, read_view
from serving.events.folding import SourceFolder
from stores.erasing.tombstones import Tombstones
from stores.log.source_log import SourceLog
from stores.online.watermarks import Watermark, decode_watermark, watermark_key

VIEW = PLAN.view("card_activity_v1")


class World:
    """A log, a store and a folder, and what the oracle would say of them."""

    def __init__(
        self,
        directory: Path,
        *,
        source: Source = PAYMENTS,
        views: Sequence[ViewPlan] = (VIEW,),
        batch_events: int = 7,
        tombstones: Tombstones | None = None,
    ) -> None:
        self.source = source
        self.views = views
        self.batch_events = batch_events
        self.tombstones = tombstones
        self.clock = FixedClock(NOW_MS)
        self.log = SourceLog(directory, source.name)
        self.store = MemoryOnlineStore()
        self.folder = self.restarted()

    def restarted(self, views: Sequence[ViewPlan] | None = None) -> SourceFolder:
        """A new folder over what is there; ``folder`` from now on."""
        self.folder = SourceFolder(
            self.source,
            views or self.views,
            self.log,
            self.store,
            self.clock,
            batch_events=self.batch_events,
            tombstones=self.tombstones,
        )
        self.folder.start()
        return self.folder

    def append(self, *rows: Mapping[str, Any]) -> list[int]:
        """Positions of rows appended to the open epoch."""
        lines = [json.dumps(row).encode() for row in rows]
        return self.log.append(lines, now_ms=self.clock.now_ms())

    def fold_all(self) -> None:
        """Fold until the end of the log."""
        while self.folder.step():
            pass

    def reading(self, card: str, at_ms: int | None = None, view: ViewPlan = VIEW) -> ViewReading:
        """What the service would read of a card."""
        entity = entity_key([card])
        base, delta = self.store.read([base_key(view.name, entity), delta_key(view.name, entity)])
        return read_view(view, base, delta, at_ms or self.clock.now_ms())

    def count(self, card: str = "c1", at_ms: int | None = None) -> float | None:
        """First value of a card: how many payments it made."""
        return self.reading(card, at_ms).values[0]

    def watermark(self) -> Watermark:
        """What the folder says of how far the source is."""
        (mark,) = self.store.read([watermark_key(self.source.name)])
        assert mark is not None
        return decode_watermark(mark)


class CrashingStore(MemoryOnlineStore):
    """Fails at the n-th write, before or after it was made: what a kill leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.crash_in = -1
        self.is_after = False

    def write(self, items: Mapping[bytes, bytes]) -> None:
        self.crash_in -= 1
        if self.crash_in == 0 and not self.is_after:
            raise DependencyError("killed before")
        super().write(items)
        if self.crash_in == 0 and self.is_after:
            raise DependencyError("killed after")
