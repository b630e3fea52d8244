"""A world lived through: its log folded, its views re-based, its points read as time goes by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from batches import bases, fold_event
from worlds import Comparison, World, compare

from core.features.blob import base_key, delta_key
from core.features.fold import YOUNG_MS, fold
from core.features.keys import epoch_of
from core.features.oracle import Row
from core.features.plan import ViewPlan
from core.features.reading import ViewReading, read_view
from core.ports import OnlineStore

Read = Callable[[ViewPlan, bytes | None, bytes | None, int], ViewReading]
Fold = Callable[..., bytes]
Bases = Callable[..., dict[bytes, bytes]]


@dataclass
class Replay:
    """One world against one store; points are read in order of their instants.

    Before each point the folder takes some more of the log and batch sometimes covers more
    epochs, of which it writes all entities or, when it is caught half way, some. ``bases``
    tells what it writes up to an epoch, from a head on; without it that is worked out anew.
    """

    world: World
    store: OnlineStore
    rng: np.random.Generator
    read: Read = read_view
    fold: Fold = fold
    bases: Bases | None = None
    cursor: int = 0
    covered: int = -1
    now_ms: int = -(2**60)
    seen: list[int] = field(default_factory=list)

    def run(self) -> Comparison:
        """Read all points; compare with the oracle under what each reading says it saw."""
        log = sorted(self.world.rows, key=lambda row: row.position)
        order = sorted(range(len(self.world.points)), key=lambda i: self.world.points[i][1])
        readings: dict[int, ViewReading] = {}
        for place in order:
            entity, at_ms, _ = self.world.points[place]
            self._batch(log, at_ms)
            self._fold(log, entity, at_ms)
            keys = [base_key(self.world.view.name, entity), delta_key(self.world.view.name, entity)]
            base, delta = self.store.read(keys)
            readings[place] = self.read(self.world.view, base, delta, at_ms)
        ordered = [readings[place] for place in range(len(order))]
        expected = self.world.expected_as_seen([reading.seen_position for reading in ordered])
        self.seen = [reading.seen_position for reading in ordered]
        return compare(expected, _columns(self.world.view, ordered))

    def _batch(self, log: list[Row], at_ms: int) -> None:
        """Sometimes cover more epochs; batch may be ahead of the folder, mostly it is behind."""
        reached = epoch_of(log[min(self.cursor + 7, len(log) - 1)].position)
        if self.rng.random() < 0.75 or self.covered >= reached:
            return
        epoch = int(self.rng.integers(self.covered + 1, reached + 1))
        head_ms = at_ms - int(self.rng.choice([0, 1, YOUNG_MS, 3_600_000, 90_000_000]))
        view = self.world.view
        values = self._based(epoch=epoch, head_ms=head_ms)
        is_finished = self.rng.random() < 0.7
        self.store.write(
            {
                base_key(view.name, entity): value
                for entity, value in values.items()
                if is_finished or self.rng.random() < 0.5
            }
        )
        self.covered = epoch if is_finished else self.covered

    def _based(self, *, epoch: int, head_ms: int) -> dict[bytes, bytes]:
        if self.bases is not None:
            return self.bases(epoch=epoch, head_ms=head_ms)
        return bases(self.world.view, self.world.rows, epoch=epoch, head_ms=head_ms)

    def _fold(self, log: list[Row], entity: bytes, at_ms: int) -> None:
        """Take some of the log, sometimes again from an earlier place."""
        view = self.world.view
        lateness = int(self.rng.choice([YOUNG_MS, YOUNG_MS, YOUNG_MS - 1, 0, -3_600_000]))
        self.now_ms = max(self.now_ms, at_ms + lateness)
        start = max(0, self.cursor - int(self.rng.integers(0, 10)))
        self.cursor = min(len(log), self.cursor + int(self.rng.integers(0, 8)))
        events: dict[bytes, list[Any]] = {}
        if self.rng.random() < 0.5:  # a fold without an event only moves rows into tiles
            events[delta_key(view.name, entity)] = []
        for row in log[start : self.cursor]:
            events.setdefault(delta_key(view.name, row.entity), []).append(fold_event(row))
        deltas = self.store.read(list(events))
        self.store.write(
            {
                key: self.fold(
                    view, delta, events[key], now_ms=self.now_ms, base_epoch=self.covered
                )
                for key, delta in zip(events, deltas, strict=True)
            }
        )


def _columns(view: ViewPlan, readings: list[ViewReading]) -> dict[str, Any]:
    return {
        name: np.array(
            [np.nan if r.values[k] is None else r.values[k] for r in readings], np.float64
        )
        for k, name in enumerate(view.feature_names)
    }
