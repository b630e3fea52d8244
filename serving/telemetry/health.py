"""Whether this process can answer, and how far its sources have come."""

from __future__ import annotations

import asyncio

from core.clock import Clock
from core.errors import PlatformError
from serving.models.releases import Releases, Served
from serving.models.watcher import ShelfWatcher
from serving.ports import Json, Reader
from stores.online.watermarks import Watermark, decode_watermark, watermark_key

READ_BUDGET_S = 0.25


class Health:
    """Ready is: at least one use case is served. A store that is down degrades, no more."""

    def __init__(
        self, home: str, releases: Releases, watcher: ShelfWatcher, reader: Reader, clock: Clock
    ) -> None:
        self._home = home
        self._releases = releases
        self._watcher = watcher
        self._reader = reader
        self._clock = clock

    def life(self) -> Json:
        """That this process runs, and of which home it is: an id, no path."""
        return {"live": True, "home": self._home}

    async def state(self) -> Json:
        """What is served, what is wrong with the shelf, and the age of each source."""
        roster = self._releases.roster
        return {
            "ready": bool(roster.use_cases),
            "channels": roster.channels.counter,
            "serving": {
                name: {
                    "champion": served.champion.manifest.release,
                    "manifest_digest": served.champion.manifest_digest,
                    **_beside(served),
                }
                for name, served in roster.use_cases.items()
            },
            "shelf": self._watcher.trouble or "ok",
            "sources": await self.source_ages_ms(),
        }

    async def source_ages_ms(self) -> dict[str, int | None]:
        """Age of each source in ms; None where no folder has spoken or the store is silent."""
        marks, now_ms = await self.watermarks(), self._clock.now_ms()
        return {
            name: max(0, now_ms - marks[name].available_ms) if name in marks else None
            for name in self._sources()
        }

    async def watermarks(self) -> dict[str, Watermark]:
        """How far each source is folded; none where no folder has spoken or the store is silent."""
        names = self._sources()
        try:
            async with asyncio.timeout(READ_BUDGET_S):
                found = await self._reader.read([watermark_key(name) for name in names])
            marks = [None if data is None else decode_watermark(data) for data in found]
        except (TimeoutError, PlatformError, OSError):
            return {}
        pairs = zip(names, marks, strict=True)
        return {name: mark for name, mark in pairs if mark is not None}

    def _sources(self) -> list[str]:
        served = self._releases.roster.use_cases.values()
        answering = (r for each in served for r in (each.champion, *each.older.values()))
        return sorted({view.source for release in answering for view in release.plan.views})


def _beside(served: Served) -> Json:
    """What serves beside the champion, where anything does."""
    state = served.state
    beside: Json = {}
    if state.rollout is not None:
        beside["challenger"] = state.challenger
        beside["challenger_weight"] = state.challenger_weight
    if state.shadow is not None:
        beside["shadow"] = state.shadow
    for kept in state.older:
        if kept.release is not None:
            beside[kept.channel] = kept.release
    return beside
