"""Folding one source: from its log into the delta values of the views that read it.

Each view has a cursor: the position up to which it is folded. Deltas, cursors and the
source's watermark are written together, and a fold can be repeated, so a kill at any moment
loses nothing and counts nothing twice. An id counts at its first position only
(``stores.online.claims``); rows that break the contract are left to ingest, which reports them.
References to other sources are judged by ingest alone: a row that it refuses for one is folded
here, and gone with the next base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from core.clock import Clock
from core.contracts import Source
from core.errors import PlatformError
from core.features.blob import delta_key
from core.features.fold import FoldEvent, fold
from core.features.keys import entity_key, epoch_of, offset_of, position
from core.features.plan import ViewPlan
from core.ports import OnlineStore
from core.rows.event_versions import VersionedParser
from serving.events.log_rows import Accepted, LogRows
from stores.erasing.tombstones import Tombstones
from stores.log.epochs import Record
from stores.log.source_log import SourceLog
from stores.log.tail import Tip
from stores.online.claims import CLAIM_MS, claimed_position, fold_claim
from stores.online.watermarks import (
    Watermark,
    covered_key,
    decode_covered,
    decode_position,
    decode_watermark,
    encode_position,
    encode_watermark,
    folded_key,
    watermark_key,
)

NOTHING = 0
"""A cursor before every position: epochs start at 1."""


class Group(NamedTuple):
    """Events of one entity for one view, in the order of the log."""

    view: ViewPlan
    entity: bytes
    events: list[FoldEvent]


class SourceFolder:
    """Folds one source. One process owns it; nothing else writes its deltas."""

    def __init__(
        self,
        source: Source,
        views: Sequence[ViewPlan],
        log: SourceLog,
        store: OnlineStore,
        clock: Clock,
        *,
        batch_events: int,
        tombstones: Tombstones | None = None,
    ) -> None:
        self._source = source
        self._views = tuple(views)
        self._log = log
        self._store = store
        self._clock = clock
        self._batch_events = batch_events
        self._rows = LogRows(VersionedParser(source), log, tombstones)
        names = [field.name for field in source.fields]
        self._names = names
        self._key_places = [[names.index(key) for key in view.join_keys] for view in self._views]
        self._cursors: dict[str, int] = {}
        self._folded_keys = [folded_key(view.name) for view in self._views]
        self._kept: list[bytes | None] = []  # what the store has there, as far as we know
        self._covered: dict[str, int] = {}
        self._tail: Iterator[tuple[int, Record]] | None = None
        self._tail_from_ms = 0
        self._tail_tip: Tip | None = None
        self._folded_tip: Tip | None = None
        self._available_ms = 0
        self._written_ms = 0
        self.faults: list[str] = []
        self.troubles: list[str] = []

    def start(self) -> None:
        """Take up the cursors. A view starts behind what a finished base covers."""
        kept = self._store.read([watermark_key(self._source.name)])[0]
        self._available_ms = 0 if kept is None else decode_watermark(kept).available_ms
        self._covered = self._now_covered()
        kept_cursors = self._store.read(self._folded_keys)
        folded = self._by_view(kept_cursors, decode_position)
        self._claim_covered(min(folded.values()), max(self._covered.values()))
        self._kept = kept_cursors
        self._cursors = {name: max(at, self._covered[name]) for name, at in folded.items()}

    def step(self) -> int:
        """Fold the next micro-batch; how many records it held. 0 is the end of the log.

        Raises
        ------
        DependencyError
            If the store fails: the same batch is folded again by the next step.
        """
        if self._tail is None:
            self._tail_from_ms = self._clock.now_ms()
            self._tail_tip = self._log.tip(self._tail_from_ms)
            if self._tail_tip == self._folded_tip:
                self._available_ms = self._known_until(self._tail_from_ms)
                return 0
            self._tail = self._log.read_open(min(self._cursors.values()))
        tail, self._tail = self._tail, None
        records = list(islice(tail, self._batch_events))
        is_end = len(records) < self._batch_events
        # At the end, all that was durable when the look began is folded.
        until_ms = self._tail_from_ms if is_end else self._arrived_before(records[-1][1])
        available_ms = self._known_until(until_ms)
        if records and not self._fold(records, available_ms):
            return len(records)
        self._available_ms = available_ms
        if is_end:
            self._folded_tip = self._tail_tip
        else:
            self._tail = tail
        return len(records)

    def beat(self, every_ms: int) -> None:
        """Say how far things are, if nothing was said lately; learn what batch covers now."""
        since_ms = self._clock.now_ms() - self._written_ms
        if since_ms >= every_ms or since_ms < 0:  # the clock was put back
            if self._has_lost():
                return
            self._covered = self._now_covered()
            self._write({}, self._cursors, self._available_ms)

    def _has_lost(self) -> bool:
        """Whether the store lost what was written last; then the cursors that it has are taken up.

        As a Redis that was started again without its last second, or without anything. What was
        folded since is folded once more; to go on would leave it out until the next base.
        """
        if self._store.read(self._folded_keys) == self._kept:
            return False
        self.start()
        self._tail = self._folded_tip = None
        self.troubles.append("the online store lost what was written last; it is folded again")
        return True

    def _known_until(self, until_ms: int) -> int:
        """Until when all is folded. It goes back with a clock that was put back, and never else.

        An instant that has not come would hide that the folder has died until it comes.
        """
        now_ms = self._clock.now_ms()
        before_ms = self._available_ms if self._available_ms <= now_ms else 0
        return max(before_ms, min(until_ms, now_ms))

    def _arrived_before(self, record: Record) -> int:
        """When all had arrived that stands before a record; over Kafka only its end tells."""
        return self._available_ms if self._log.is_over_kafka else record.ingested_at_ms

    def _fold(self, records: Sequence[tuple[int, Record]], available_ms: int) -> bool:
        """Fold records; False where those before them come first, which the store has lost."""
        # Before ids are claimed: a repeated one must not come before its first.
        if self._has_lost():
            return False
        last = records[-1][0]
        counted = self._counted(self._rows.accepted(records))
        groups = list(self._groups(counted))
        deltas = self._store.read([delta_key(g.view.name, g.entity) for g in groups])
        now_ms = self._clock.now_ms()
        written: dict[bytes, bytes] = {}
        for group, delta in zip(groups, deltas, strict=True):
            base_epoch = epoch_of(self._covered[group.view.name]) or -1
            try:
                written[delta_key(group.view.name, group.entity)] = fold(
                    group.view, delta, group.events, now_ms=now_ms, base_epoch=base_epoch
                )
            except PlatformError as error:  # one entity's trouble must not stop the others
                self.faults.append(f"{group.view.name}: {len(group.events)} events lost: {error}")
        cursors = {name: max(at, last) for name, at in self._cursors.items()}
        self._write(written, cursors, available_ms)
        self._cursors = cursors
        return True

    def _counted(self, rows: Iterable[Accepted]) -> list[Accepted]:
        """Rows whose position is the one that counts for their id."""
        claims: dict[bytes, bytes] = {}
        first: dict[bytes, Accepted] = {}
        for row in rows:
            key = fold_claim(self._source.name, row.row.event_id)
            if key not in first:
                first[key] = row
                claims[key] = claimed_position(row.position)
        now_ms = self._clock.now_ms()
        held = self._store.claim(claims, expires_in_ms=CLAIM_MS, now_ms=now_ms) if claims else {}
        return [row for key, row in first.items() if held.get(key, claims[key]) == claims[key]]

    def _groups(self, rows: Sequence[Accepted]) -> Iterator[Group]:
        events = [(accepted, self._event(accepted)) for accepted in rows]
        for view, key_places in zip(self._views, self._key_places, strict=True):
            groups: dict[tuple[Any, ...], Group] = {}
            cursor = self._cursors[view.name]
            for (place, _, row), event in events:
                keys = tuple([row.values[each] for each in key_places])
                if place <= cursor or None in keys:
                    continue
                group = groups.get(keys)
                if group is None:
                    group = groups[keys] = Group(view, entity_key(keys), [])
                group.events.append(event)
            yield from groups.values()

    def _event(self, accepted: Accepted) -> FoldEvent:
        place, available_ms, row = accepted
        values = dict(zip(self._names, row.values, strict=True))
        return FoldEvent(
            epoch_of(place), offset_of(place), row.event_id, row.event_ms, available_ms, values
        )

    def _write(self, items: dict[bytes, bytes], cursors: dict[str, int], available_ms: int) -> None:
        now_ms = self._clock.now_ms()
        for name, at in cursors.items():
            items[folded_key(name)] = encode_position(at)
        watermark = Watermark(available_ms, min(cursors.values()), now_ms)
        items[watermark_key(self._source.name)] = encode_watermark(watermark)
        self._store.write(items)
        self._kept = [items[key] for key in self._folded_keys]
        self._written_ms = now_ms

    def _now_covered(self) -> dict[str, int]:
        keys = [covered_key(view.name) for view in self._views]
        return self._by_view(self._store.read(keys), _covered)

    def _by_view(
        self, found: Sequence[bytes | None], decode: Callable[[bytes], int]
    ) -> dict[str, int]:
        return {
            view.name: NOTHING if data is None else decode(data)
            for view, data in zip(self._views, found, strict=True)
        }

    def _claim_covered(self, folded: int, covered: int) -> None:
        """Claim the ids of the last seven days that batch covered before they were folded here.

        Else the same id posted again would count a second time, on top of the base. History
        that was imported is left out: its ids do not come again over HTTP.
        """
        oldest_ms = self._clock.now_ms() - CLAIM_MS
        # The folder may have died within an epoch; behind the last offset the next one begins.
        for epoch in self._log.epochs(after=epoch_of(folded + 1) - 1):
            if epoch.epoch > epoch_of(covered):
                return
            if epoch.is_historic or epoch.sealed_at_ms < oldest_ms:
                continue
            start = offset_of(folded) if epoch.epoch == epoch_of(folded) else 0
            records = self._log.records(epoch.epoch, start)
            placed = ((position(epoch.epoch, record.offset), record) for record in records)
            while block := list(islice(placed, self._batch_events)):
                self._counted(self._rows.accepted(block))


def _covered(data: bytes) -> int:
    return decode_covered(data).position
