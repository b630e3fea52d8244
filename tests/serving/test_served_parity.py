"""Real processes serve while events come; what they recorded is then held to the tables.

Service and folder run, the folder is killed in between, predictions go on. The tables are
written from the very logs that the service appended to.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from bundles import CONTRACT, serve, shelve
from online_processes import folder, service
from served_world import CARD, write_events

from core.clock import DAY_MS, MINUTE_MS, SystemClock
from core.features.keys import epoch_of
from core.packed_records import whole_record
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.masking import ensure_mask
from stores.records.ids import parse_record_id
from stores.records.segments import record_in
from stores.records.shared import open_segments
from training.served_parity import bundles_on, served_parity

ROUNDS, EVENTS_A_ROUND, POINTS_A_ROUND = 6, 40, 25
SOURCES = ("payments", "verdicts", "card_states")
NOW = SystemClock().now_ms


class Traffic:
    """Events and questions about a few cards and terminals."""

    def __init__(self, client):
        self.client = client
        self.rng = np.random.default_rng(9)
        self.number = 0
        self.ids = []

    def send(self):
        """Events of all sources, some of them late by days, one in ten sent twice."""
        for source, make in (("payments", self._payment), ("verdicts", self._verdict),
                             ("card_states", self._state)):  # fmt: skip
            events = [make() for _ in range(EVENTS_A_ROUND)]
            answer = self.client.post(f"/v1/events/{source}", json=events + events[::10])
            assert answer.json()["rejected"] == 0, answer.text

    def ask(self):
        points = [
            {"entities": {"card_id": f"c{self.rng.integers(9)}", "terminal_id": self._terminal()},
             "inputs": {"amount_minor": int(self.rng.integers(1, 50_000))}}
            for _ in range(POINTS_A_ROUND)
        ]  # fmt: skip
        answer = self.client.post("/v1/toy/predictions:batch", json={"points": points})
        assert answer.status_code == 200, answer.text
        self.ids += [each["prediction_id"] for each in answer.json()["predictions"]]

    def _event(self, kind, **values):
        self.number += 1
        late_ms = int(self.rng.choice([0, MINUTE_MS, DAY_MS, 6 * DAY_MS]) * self.rng.random())
        return {"event_id": f"{kind}{self.number}", "event_timestamp": NOW() - late_ms, **values}

    def _payment(self):
        keys = {"card_id": f"c{self.rng.integers(8)}", "terminal_id": self._terminal()}
        return self._event("p", amount_minor=int(self.rng.integers(1, 50_000)), **keys)

    def _verdict(self):
        keys = {"terminal_id": self._terminal(), "payment_id": "p1"}
        return self._event("v", is_fraud=int(self.rng.integers(2)), **keys)

    def _state(self):
        card = f"c{self.rng.integers(8)}"
        return self._event("s", card_id=card, limit_minor=int(self.rng.integers(1, 900_000)))

    def _terminal(self):
        return f"t{self.rng.integers(4)}"


def write_table(layout, source):
    """The table that ingest makes of a log: the first row of every id, with its position."""
    rows: dict[str, dict[str, Any]] = {}
    last = 0
    for place, record in SourceLog(layout.log_dir(source), source).read_open():
        assert isinstance(record.raw, dict)
        rows.setdefault(record.raw["event_id"], {**record.raw, "position": place})
        last = place
    write_events(layout, source, list(rows.values()), epoch=epoch_of(last))


def is_level(client, since_s):
    """Whether the folder has come up with every source since an instant of the monotonic clock."""
    passed_ms = (time.monotonic() - since_s) * 1_000
    ages_ms = client.get("/readyz").json()["sources"]
    return all(ages_ms[name] is not None and ages_ms[name] < passed_ms for name in SOURCES)


def shipped(layout, record_id):
    where = parse_record_id(record_id)
    store = open_segments(layout.segments("toy"))
    return whole_record(record_in(store.read(where.segment_name), where.offset))


@pytest.mark.slow
def test_what_real_processes_served_is_what_the_tables_say(tmp_path):
    layout = Layout(tmp_path / "home", lake=str(tmp_path / "lake")).create()
    contract = CONTRACT.model_copy(update={"keys": (CARD, CONTRACT.keys[1])})
    serve(layout, shelve(layout, contract=contract), counter=1)
    settings = {"LAKE_URI": layout.lake}
    with service(layout, **settings) as started, httpx.Client(base_url=started.url) as client:
        traffic = Traffic(client)
        for number in range(ROUNDS):
            with folder(layout, **settings) as folding:
                traffic.ask()
                traffic.send()
                sent_s = time.monotonic()
                traffic.ask()
                folding.wait_until(partial(is_level, client, sent_s))
                traffic.ask()
                if number % 2:
                    traffic.send()
                    folding.kill()
            traffic.ask()
    for source in SOURCES:
        write_table(layout, source)
    records = {record_id: shipped(layout, record_id) for record_id in traffic.ids}
    found = served_parity(records, bundles_on(layout), layout, ensure_mask(layout.keys))
    assert found.is_equal, found.examples
    assert (found.records, found.unreplayable) == (ROUNDS * 4 * POINTS_A_ROUND, {})
    reads = [read for record in records.values() for read in record["features"].values()]
    assert {read["status"] for read in reads} >= {"PRESENT", "NOT_FOUND", "fresh", "missing"}
    assert len({read["seen_position"] for read in reads}) > ROUNDS
