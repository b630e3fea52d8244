"""What ``/metrics`` answers: this machine's workers, and the home as it stands now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import chain

from core.clock import Clock
from serving.models.watcher import ShelfWatcher
from serving.telemetry.gpu_metrics import Gpus, gpu_families
from serving.telemetry.health import Health
from serving.telemetry.home_metrics import home_families, waiting_segments
from serving.telemetry.metrics import Telemetry
from serving.telemetry.worker_metrics import PUBLISH_EVERY_S, WorkerMetrics
from stores.layout import Layout
from stores.online.watermarks import Watermark


class Scraping:
    """Gathers everything that can be counted, when somebody asks."""

    def __init__(
        self,
        layout: Layout,
        telemetry: Telemetry,
        workers: WorkerMetrics,
        *,
        health: Health,
        watcher: ShelfWatcher,
        clock: Clock,
        gpus: Gpus | None = None,
    ) -> None:
        self._layout = layout
        self._telemetry = telemetry
        self._workers = workers
        self._health = health
        self._watcher = watcher
        self._clock = clock
        self._gpus = gpus

    async def exposition(self) -> bytes:
        """All metrics in Prometheus' text format; files are read away from the requests."""
        return await asyncio.to_thread(self._text, await self._health.watermarks())

    def _text(self, watermarks: Mapping[str, Watermark]) -> bytes:
        of_home = home_families(
            self._clock.now_ms(),
            watermarks,
            waiting_segments(self._layout),
            is_shelf_bad=bool(self._watcher.trouble),
        )
        of_gpus = gpu_families(self._gpus.states()) if self._gpus is not None else []
        return self._telemetry.exposition(chain(self._workers.families(), of_home, of_gpus))

    async def follow(self) -> None:
        """Leave this worker's counts for the others again and again, until cancelled."""
        try:
            while True:
                await asyncio.sleep(PUBLISH_EVERY_S)
                await asyncio.to_thread(self._workers.publish)
        finally:
            self._workers.close()
