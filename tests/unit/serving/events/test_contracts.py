"""Events of two majors: taken, told until when, kept as they were sent, and folded as one."""

from __future__ import annotations

import asyncio
import json

import pytest
from bundles import CONTRACT, serve, shelve
from folding_world import World
from grown_payments import GROWN, WAS
from memory_store import MemoryOnlineStore
from payments import NOW_MS, payment

from core.clock import FixedClock, date_start_ms
from serving.errors import ContractEndedError, NotFoundError
from serving.folder import Folder
from serving.settings import Settings
from serving.telemetry.process_metrics import FolderMetrics
from stores.layout import Layout


def take(intake, raw, said=None):
    return asyncio.run(intake.take("payments", raw, said))


def statuses(results):
    return [(r.status, r.violation.code if r.violation else None) for r in results]


def grow(bench):
    """Promote a release that reads payments by their second major."""
    sources = (GROWN, *CONTRACT.sources[1:])
    release = shelve(bench.layout, contract=CONTRACT.model_copy(update={"sources": sources}))
    serve(bench.layout, release, counter=2)
    assert bench.watcher.look()


def test_both_majors_are_taken_and_kept_as_they_were_sent(bench, intake, appenders):
    first = payment("e1", NOW_MS)
    take(intake, first)
    grow(bench)
    assert statuses(take(intake, first)) == [("duplicate", None)]  # sent again over the switch
    assert take(intake, payment("e2", NOW_MS), said="1.0")[0].status == "accepted"
    newer = payment("e3", NOW_MS, way="web")
    assert take(intake, newer, said="2")[0].status == "accepted"
    lines = [json.loads(line) for line in appenders.lines["payments"]]
    assert lines == [first, first, payment("e2", NOW_MS), {"@contract": 2, **newer}]


def test_senders_of_the_former_major_are_told_until_when(bench, intake):
    grow(bench)
    told = intake.contract_of("payments", None).headers
    assert told["throughline-contract"] == "1.0"
    assert told["Deprecation"] == f"@{date_start_ms(WAS.since) // 1_000}"
    assert told["Sunset"] == "Sun, 01 Mar 2026 00:00:00 GMT"
    assert intake.contract_of("payments", "2").headers == {}


def test_what_the_present_major_does_not_take_is_refused_in_either(bench, intake, appenders):
    grow(bench)
    found = take(intake, payment("e1", NOW_MS, amount_minor=5_001), said="1")
    assert statuses(found) == [("rejected", "out_of_range")]
    found = take(intake, {"@contract": 2, **payment("e1", NOW_MS)}, said="1")
    assert statuses(found) == [("rejected", "unknown_field")]
    assert not appenders.lines


@pytest.mark.parametrize(
    ("said", "at_ms", "error", "code"),
    [
        (None, date_start_ms(WAS.until), ContractEndedError, "contract_ended"),
        ("1", date_start_ms(WAS.until), ContractEndedError, "contract_ended"),
        ("3", NOW_MS, NotFoundError, "unknown_contract"),
    ],
)
def test_a_contract_that_is_not_taken_is_refused(bench, intake, said, at_ms, error, code):
    grow(bench)
    bench.clock.advance(at_ms - NOW_MS)
    with pytest.raises(error) as refused:
        take(intake, payment("e1", NOW_MS), said=said)
    assert refused.value.code == code


def test_rows_of_both_majors_are_folded_as_one(tmp_path):
    world = World(tmp_path, source=GROWN)
    world.append(payment("e1", NOW_MS))
    landed = tmp_path.parent / f"{tmp_path.name}.ndjson"
    landed.write_text(json.dumps(payment("e2", NOW_MS)))
    world.log.land(landed, now_ms=NOW_MS, contract=GROWN.as_of(1))
    world.append({**payment("e3", NOW_MS, way="web"), "@contract": 2})
    world.append({**payment("e4", NOW_MS), "@contract": 3})
    world.fold_all()
    assert world.count(at_ms=NOW_MS + 1) == 3
    assert [epoch.contract for epoch in world.log.epochs()] == [1, 1]


def test_a_view_that_the_newest_contract_cannot_feed_is_left_out_and_told(tmp_path):
    layout, told = Layout(tmp_path).create(), list[object]()
    less = GROWN.model_copy(update={"fields": (*GROWN.fields[:1], *GROWN.fields[2:])})
    contract = CONTRACT.model_copy(update={"sources": (less, *CONTRACT.sources[1:])})
    serve(layout, shelve(layout, contract=contract), counter=1)
    settings = Settings(home=tmp_path)
    folder = Folder(
        layout, MemoryOnlineStore(), FixedClock(NOW_MS), settings, told.append, FolderMetrics()
    )
    folder.turn()
    assert sorted(folder.sources) == ["card_states", "verdicts"]
    assert "card_activity_v1 is folded no more: payments 2.0 has no amount_minor" in str(told[0])
