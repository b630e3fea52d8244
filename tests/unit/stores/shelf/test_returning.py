"""Whom a way back would refuse is known before it is taken, with how many asked of late."""

from __future__ import annotations

import json
import os

import pytest
from bundles import CONTRACT, shelve
from desks import Desk
from grown_payments import GROWN
from payments import NOW_MS
from recorded import toy_record

from core.clock import DAY_MS, FixedClock
from stores.layout import Layout
from stores.records.segments import SegmentedRecordLog
from stores.shelf.returning import Refusal, Seen, refusal_of, seen_by


@pytest.fixture
def desk(tmp_path):
    desk = Desk(Layout(tmp_path).create())
    for contract in (CONTRACT, CONTRACT.model_copy(update={"version": "1.1"})):
        assert desk.ask("promote", shelve(desk.layout, contract=contract)).is_accepted
    return desk


def refused(desk, release):
    channels = desk.shelf.board.read(desk.keys)
    return refusal_of(desk.shelf, channels, "toy", release)


def test_within_a_major_nobody_is_refused(desk):
    assert not refused(desk, 1)


def test_over_a_major_who_speaks_the_newer_one_is_refused(desk):
    sources = (GROWN, *CONTRACT.sources[1:])
    newer = CONTRACT.model_copy(update={"version": "2.0", "sources": sources})
    third = shelve(desk.layout, contract=newer)
    assert desk.ask("promote", third).is_accepted
    found = refused(desk, 2)
    assert found == Refusal(majors=(2,), releases=(third,), sources=("payments",))
    words = "callers of contract 2 and senders of newer events of payments"
    assert found.sentence() == words
    assert words in desk.ask("rollback").because
    assert desk.state().champion == third
    assert desk.ask("rollback", may_refuse=True).is_accepted
    assert desk.state().champion == 2


def test_events_that_another_use_case_takes_are_not_refused(desk):
    newer = CONTRACT.model_copy(update={"sources": (GROWN, *CONTRACT.sources[1:])})
    for name in ("toy", "other"):
        release = shelve(
            desk.layout, use_case=name, contract=newer.model_copy(update={"version": "1.2"})
        )
        assert desk.ask("promote", release, use_case=name).is_accepted
    assert not refused(desk, 2)


def keep(layout, releases, at_ms):
    log = SegmentedRecordLog(layout.records("toy"), "toy", FixedClock(at_ms))
    models = [{"name": "toy", "release": n, "channel": "champion"} for n in releases]
    log.append_many([json.dumps(toy_record(at_ms, model=model)).encode() for model in models])
    log.close()


def test_answers_of_the_last_day_are_counted_by_their_release(tmp_path):
    layout = Layout(tmp_path).create()
    keep(layout, [2, 2, 1], NOW_MS - 5)
    keep(layout, [2], NOW_MS - DAY_MS - 1)
    assert seen_by(layout, "toy", {2}, now_ms=NOW_MS) == Seen(2, NOW_MS - 5, is_all=True)
    assert seen_by(layout, "toy", {3}, now_ms=NOW_MS).n == 0
    for path in layout.records("toy").glob("*.sealed"):
        os.utime(path, (0, 0))  # written to before that day began
    assert seen_by(layout, "toy", {2}, now_ms=NOW_MS).n == 0


def test_only_so_many_of_the_newest_are_looked_at(tmp_path):
    layout = Layout(tmp_path).create()
    for at_ms in (NOW_MS - 9, NOW_MS - 8):
        keep(layout, [2, 2], at_ms)
    found = seen_by(layout, "toy", {2}, now_ms=NOW_MS, most=2)
    assert (found.n, found.is_all) == (2, False)
    assert "at least 2 requests of theirs" in found.sentence()
