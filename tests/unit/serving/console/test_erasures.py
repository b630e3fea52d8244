"""Pages of erasures: tokens only, what was done where, and whether the certificate holds."""

from __future__ import annotations

import json

import pytest
from access_keys import made_key
from console_home import Console

from core.clock import DAY_MS, FixedClock
from core.erasing.erasure import Certificate, Journal, StepDone, Tombstone, TrainedModel
from stores.durable import is_locked
from stores.erasing.erasures import Erasures
from stores.keys.signing import ensure_signer
from stores.layout import Layout

NOW_MS = 100 * DAY_MS
DONE = (
    StepDone(name="table events/payments", counts={"rows": 12, "purged_files": 9}),
    StepDone(name="bundles", counts={"bundles": 0}),
)
HELD = StepDone(name="segments/toy", held="litigation-7")
MODEL = TrainedModel(use_case="toy", release=2, snapshot="ab" * 8, is_served=True, flag="retrain")


def stone(n):
    return Tombstone(key="card_id", token=f"masked:{n:020x}", at_ms=NOW_MS - n * DAY_MS)


def begun(layout, n, *, is_over, steps=DONE):
    journal = Journal(
        tombstone=stone(n), who="ada", why=f"request {n}", begun_at_ms=stone(n).at_ms,
        done=steps, models=(MODEL,), is_over=is_over,
    )  # fmt: skip
    Erasures(layout).put(journal)
    return journal


def certified(layout, n, *, steps=DONE, left=()):
    journal = begun(layout, n, is_over=True, steps=steps)
    certificate = Certificate(
        tombstone=journal.tombstone, who="ada", why=journal.why, begun_at_ms=journal.begun_at_ms,
        ended_at_ms=journal.begun_at_ms + 1, code_version="c0de", steps=steps, models=(MODEL,),
        searched={"files": 412}, left=left,
    )  # fmt: skip
    return Erasures(layout).certify(certificate, ensure_signer(layout.keys, "audit"))


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


@pytest.fixture
def console(layout):
    return Console(layout, FixedClock(NOW_MS))


def test_the_list_begins_with_what_is_not_over(console, layout):
    certified(layout, 1)
    certified(layout, 2, steps=(*DONE, HELD))
    begun(layout, 3, is_over=False)
    words = console.get("/erasures").words
    places = [words.index(each) for each in ("cut short after 2 steps", "request 1", "request 2")]
    assert places == sorted(places)
    assert "complete, verified" in words
    assert "not complete" in words
    assert "1 flagged" in words


def test_one_that_goes_on_now_is_not_cut_short(console, layout):
    begun(layout, 3, is_over=False)
    with Erasures(layout).alone():
        assert is_locked(layout.erasure / ".lock")
        assert "under way after" in console.get("/erasures").words
    assert not is_locked(layout.erasure / ".lock")


def test_an_erasure_says_what_was_done_in_each_place_and_what_follows(console, layout):
    certified(layout, 1, steps=(*DONE, HELD), left=("shelf/releases/toy/1/bundle/model.onnx",))
    reply = console.get(f"/erasures/{stone(1).erasure_id}")
    assert "table events/payments 12 rows, 9 purged files" in reply.words
    assert "bundles nothing of theirs was there" in reply.words
    assert "segments/toy held litigation-7" in reply.words
    assert "train again flagged until it is replaced" in reply.words
    assert "/releases/toy/2" in reply.links
    assert "Searched 412 files: found in 1 place" in reply.words
    assert "shelf/releases/toy/1/bundle/model.onnx" in reply.words


def test_a_certificate_that_was_changed_does_not_verify(console, layout):
    path = certified(layout, 1)
    page = f"/erasures/{stone(1).erasure_id}"
    assert "complete, verified" in console.get(page).words
    fetched = console.get(f"{page}/{path.name}")
    assert json.loads(fetched.text)["certificate"]["who"] == "ada"
    path.write_text(path.read_text().replace('"ada"', '"bob"'))
    words = console.get(page).words
    assert "does not verify" in words
    assert "complete, verified" not in words


@pytest.mark.parametrize(
    "path", ["0" * 20, "%2e%2e", "x", f"{1:020x}/journal.json", f"{1:020x}/certificate-1.json"]
)
def test_nothing_else_of_the_folder_is_shown(console, layout, path):
    certified(layout, 1)
    assert console.get(f"/erasures/{path}").status == 404


def test_an_empty_home_says_how_somebody_is_forgotten(console):
    assert "throughline forget --entity" in console.get("/erasures").words


def test_who_may_audit_one_use_case_sees_nobody_who_was_forgotten_in_all(layout):
    certified(layout, 1)
    one, every = (made_key(layout, [scope]) for scope in ("toy:audit", "*:audit"))
    assert Console(layout).get("/erasures", one).status == 403
    assert Console(layout).get("/erasures", every).status == 200


def test_one_record_is_no_records(console, layout):
    certified(layout, 5, steps=(StepDone(name="records", counts={"records": 1, "rows": 2}),))
    words = console.get(f"/erasures/{stone(5).erasure_id}").words
    assert "1 record, 2 rows" in words
    assert "1 records" not in words
