from __future__ import annotations

import pytest

from core.errors import IntegrityError, InvalidInputError, NotReadyError
from stores.audit.log import AuditLog
from stores.holds import Holds
from stores.layout import Layout


@pytest.fixture
def holds(tmp_path):
    return Holds(Layout(tmp_path))


def placed(holds, **changes):
    told = {"who": "Legal", "why": "case 7", "now_ms": 10, "until_ms": 100}
    return holds.place("events/*", **(told | changes))


def test_a_hold_is_found_again_with_all_that_was_said(holds):
    assert holds.all() == []
    hold = placed(holds)
    assert holds.all() == [hold]
    assert (hold.target, hold.who, hold.why, hold.until_ms) == ("events/*", "Legal", "case 7", 100)


def test_holds_come_in_the_order_they_were_placed(holds):
    placed_at = [placed(holds, now_ms=instant).placed_at_ms for instant in (30, 10, 20)]
    assert [hold.placed_at_ms for hold in holds.all()] == sorted(placed_at)


def test_a_lifted_hold_stays_on_record_and_holds_no_more(holds):
    hold = placed(holds)
    holds.lift(hold.hold_id, who="Judge", why="closed", now_ms=50)
    (found,) = holds.all()
    assert (found.lifted_by, found.lifted_why, found.lifted_at_ms) == ("Judge", "closed", 50)
    assert found.covers("events/a", 49)
    assert not found.covers("events/a", 50)


def test_lifting_twice_keeps_the_first_word(holds):
    hold = placed(holds)
    holds.lift(hold.hold_id, who="Judge", why="closed", now_ms=50)
    assert holds.lift(hold.hold_id, who="Other", why="again", now_ms=60).lifted_by == "Judge"


def test_a_hold_that_is_not_there_or_over_at_once_is_refused(holds):
    with pytest.raises(NotReadyError, match="no such hold"):
        holds.lift("0" * 12, who="Judge", why="closed", now_ms=50)
    with pytest.raises(InvalidInputError, match="over"):
        placed(holds, until_ms=10)


def test_a_hold_that_cannot_be_read_stops_everything(holds, tmp_path):
    hold = placed(holds)
    (tmp_path / "holds" / f"{hold.hold_id}.json").write_text("{}")
    with pytest.raises(IntegrityError, match="nothing may be removed"):
        holds.all()


def test_a_hold_is_on_record_from_its_placing_to_its_end(holds, tmp_path):
    hold = placed(holds)
    holds.lift(hold.hold_id, who="Judge", why="closed", now_ms=50)
    holds.lift(hold.hold_id, who="Judge", why="closed", now_ms=60)
    records = AuditLog.of(Layout(tmp_path), is_signing=False).latest(9)
    assert [(r.at_ms, r.what, r.who, r.why) for r in records] == [
        (10, "hold_placed", "Legal", "case 7"),
        (50, "hold_lifted", "Judge", "closed"),
    ]
    assert records[0].about == {"hold": hold.hold_id, "target": "events/*", "until_ms": 100}


@pytest.mark.parametrize(
    "change",
    [None, {"until_ms": 11}, {"target": "events/other"}, {"lifted_at_ms": 20, "lifted_by": "eve"}],
)
def test_a_hold_cannot_be_ended_by_its_file(holds, tmp_path, change):
    hold = placed(holds)
    path = tmp_path / "holds" / f"{hold.hold_id}.json"
    if change is None:
        path.unlink()
    else:
        path.write_text(hold.model_copy(update=change).model_dump_json())
    with pytest.raises(IntegrityError, match="is not what was placed") as refused:
        holds.all()
    assert f"lift {hold.hold_id}" in str(refused.value)
    holds.lift(hold.hold_id, who="Judge", why="the file was lost", now_ms=50)
    assert all(not each.is_in_force(60) for each in holds.all())


def test_holds_from_before_they_were_on_record_hold(holds, tmp_path):
    hold = placed(holds)
    for path in (tmp_path / "audit").iterdir():
        path.unlink()
    assert holds.all() == [hold]
