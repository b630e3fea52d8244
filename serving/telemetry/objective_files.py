"""What a worker counted of objectives, left in the home date by date, for pages to show."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial

from core.clock import Clock, event_date
from core.monitoring.objectives import Measured
from serving.process import Told
from serving.telemetry.log_lines import Trouble
from serving.telemetry.objectives import Meters
from serving.telemetry.repeats import Repeats
from stores.layout import Layout
from stores.monitoring.measured import forget_measured, put_measured

EVERY_S = 10.0
"""A worker that is killed takes the counts of so long with it, from pages alone."""


class ObjectiveFiles:
    """Leaves the counts of one worker; what cannot be written is written with the next look.

    Parameters
    ----------
    process
        Name of this worker that no other has, nor had.
    """

    def __init__(
        self, meters: Meters, layout: Layout, process: str, clock: Clock, told: Told
    ) -> None:
        self._meters = meters
        self._layout = layout
        self._process = process
        self._clock = clock
        self._told = told
        self._repeats = Repeats(clock)
        self._date = event_date(clock.now_ms())
        self._before: dict[str, Measured] = {}  # all that was counted when the date began
        self._left: dict[str, Measured] = {}

    async def follow(self) -> None:
        """Leave counts again and again, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.leave()

    async def leave(self) -> None:
        """Leave what was counted since; what came before midnight is the former date's."""
        counted, now_ms = self._meters.measured(), self._clock.now_ms()
        of_date = {
            name: measured.since(self._before.get(name, Measured()))
            for name, measured in counted.items()
        }
        of_date = {name: measured for name, measured in of_date.items() if measured.n_asked}
        try:
            if of_date != self._left:
                await asyncio.to_thread(self._put, self._date, of_date)
                self._left = of_date
            if event_date(now_ms) != self._date:
                self._date, self._before, self._left = event_date(now_ms), counted, {}
                await asyncio.to_thread(forget_measured, self._layout, now_ms)
        except OSError as error:
            self._repeats.met("objectives", partial(self._cannot_write, error))

    def _put(self, date: str, of_date: Mapping[str, Measured]) -> None:
        put_measured(self._layout, date, self._process, of_date)

    def _cannot_write(self, error: OSError, more: str) -> None:
        because = os.strerror(error.errno or 0)
        self._told(Trouble(f"what was counted of objectives cannot be written: {because}{more}"))
