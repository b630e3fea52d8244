"""Batch beside events: whatever the folder was killed over, each event counts once in the end.

Real are the folder's process and its death, ingest, tiles and re-base. Ids of an epoch come again
after batch covered it, while the folder had seen a part of it.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from bundles import serve, shelve
from online_processes import OnlineProcess
from payments import DAY_MS, PAYMENTS, PLAN, payment

from benchmarks.chaos.batch_proof import Kept, Read, compared, event_rows, kept
from core.clock import SystemClock
from core.features.blob import base_key, delta_key
from core.features.keys import entity_key
from core.features.reading import read_view
from feature_store.engine import materialise
from spark_jobs import ingest, tiles
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.online import open_online_store
from stores.online.watermarks import decode_position, folded_key

pytestmark = [pytest.mark.spark, pytest.mark.slow]

NOW = SystemClock().now_ms
VIEW = PLAN.view("card_activity_v1")
CARDS, EVENTS, AGAIN = 4, 40, 20


class Live:
    """A home with its log, its values and its tables."""

    def __init__(self, layout, spark):
        self.layout, self.spark = layout, spark
        self.log = SourceLog(layout.log_dir(PAYMENTS.name), PAYMENTS.name)
        self.store = open_online_store(f"sqlite:///{layout.online_path}")
        self.draw, self.sent = np.random.default_rng(3), []

    def append(self):
        """New payments, some of them days late, and some that came before."""
        for _ in range(EVENTS):
            age_ms = int(self.draw.choice([1_000, 600_000, 3 * DAY_MS]))
            card = f"c{self.draw.integers(CARDS)}"
            event = payment(f"e{len(self.sent)}", NOW() - age_ms, card_id=card)
            self.sent.append(event)
        again = self.draw.choice(len(self.sent), AGAIN)
        lines = self.sent[-EVENTS:] + [self.sent[place] for place in again]
        self.log.append([json.dumps(each).encode() for each in lines], now_ms=NOW())

    def folded(self):
        (data,) = self.store.read([folded_key(VIEW.name)])
        return 0 if data is None else decode_position(data)

    def last(self):
        return max(place for place, _ in self.log.read_open())

    def folder(self, until):
        """A folder that is killed once ``until`` is true."""
        process = OnlineProcess("serving.folder", self.layout, FOLDER__BATCH_EVENTS=3)
        try:
            process.wait_until(until)
        finally:
            process.kill()

    def ingest(self):
        """The log so far into the table, as its job does; the dates that it touched."""
        told = {"root": str(self.layout.root), "now_ms": NOW()}
        epoch = self.log.seal(NOW())
        taken = ingest.run(self.spark, ingest.Arguments(**told, source=PAYMENTS, to_epoch=epoch))
        return tuple(taken.touched)

    def rebase(self, dates):
        """Tiles and base values, as their job and asset write them."""
        told = {"root": str(self.layout.root), "now_ms": NOW()}
        tiles.run(self.spark, tiles.Arguments(**told, view=VIEW, dates=dates))
        materialise(VIEW, layout=self.layout, store=self.store, now_ms=NOW())

    def reads(self):
        """Every card as of now and of some minutes before."""
        for entity in (entity_key([f"c{n}"]) for n in range(CARDS)):
            keys = delta_key(VIEW.name, entity), base_key(VIEW.name, entity)
            for at_ms in (NOW(), NOW() - 200_000):
                delta, base = self.store.read(keys)
                found = read_view(VIEW, base, delta, at_ms)
                values = dict(zip(VIEW.feature_names, found.values, strict=True))
                yield Read(VIEW.name, entity, at_ms, found.seen_position, values)


def test_events_count_once_whatever_the_folder_was_killed_over(tmp_path, spark):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    live = Live(layout, spark)
    live.append()
    live.folder(until=lambda: live.folded() > 0)
    live.append()  # to the epoch that the folder died in
    live.rebase(live.ingest())
    live.append()
    live.folder(until=lambda: live.folded() == live.last())
    live.ingest()
    rows = event_rows(layout, VIEW)
    found = compared(live.reads(), [VIEW], {VIEW.name: rows}, is_whole=True)
    assert (found.wrong, found.worst) == (0, "")
    assert found.reads == 2 * CARDS
    ids = {event["event_id"] for event in live.sent}
    assert kept(ids, layout, PAYMENTS.name) == Kept(len(ids), missing=0, doubled=0)
    assert sum(map(len, rows.values())) == len(ids)
