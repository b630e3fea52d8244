"""Pages of the audit log: who did what, filtered and page by page, and whether the chain holds."""

from __future__ import annotations

import pytest
from access_keys import made_key
from bundles import shelve
from console_home import Console

from core.audit.records import Entry
from core.clock import DAY_MS, FixedClock, date_start_ms
from serving.console.audit import ROWS
from stores.audit.log import KEY_FILE, AuditLog
from stores.audit.verified import NAME, last_verified
from stores.layout import Layout

DAY_1_MS = date_start_ms("2026-01-01")
NOW_MS = DAY_1_MS + 200 * DAY_MS


def entry(n):
    about = {"use_case": "toy" if n % 2 else "fraud", "release": n}
    what, who = ("approved", "ada") if n % 3 else ("promoted", "the controller")
    return Entry(
        at_ms=DAY_1_MS + n * DAY_MS, what=what, who=who, why=f"<because> of {n}", about=about
    )


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path).create()
    log = AuditLog.of(layout, is_signing=True)
    log.append([entry(n) for n in range(1, ROWS + 21)])
    token = {"key": "card_id", "token": "masked:" + "0a" * 10}
    log.append([Entry(at_ms=NOW_MS, what="forgotten", who="ada", about=token)])
    return layout


@pytest.fixture
def console(layout):
    return Console(layout, FixedClock(NOW_MS))


def numbers(reply):
    """Numbers of the records of a page."""
    found = [each.removeprefix("/audit/") for each in reply.links if each.startswith("/audit/")]
    return [int(each) for each in found]


def test_the_newest_come_first_and_the_rest_page_by_page(console):
    first = console.get("/audit")
    last = ROWS + 21
    assert numbers(first) == list(range(last, last - ROWS, -1))
    [older] = [each for each in first.links if "before=" in each]
    second = console.get("/audit" + older)
    assert numbers(second) == list(range(last - ROWS, 0, -1))
    assert not [each for each in second.links if "before=" in each]
    assert "Newest" in second.words
    assert "<because>" in first.words


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("what=promo&since=2026-01-01&until=2026-01-07", [6, 3]),
        ("who=controll&until=2026-01-04", [3]),
        ("use_case=fraud&since=2026-01-03&until=2026-01-05", [4, 2]),
        ("what=forgotten", [ROWS + 21]),
        ("what=never", []),
    ],
)
def test_a_filter_shows_what_fits_all_of_it(console, asked, expected):
    reply = console.get(f"/audit?{asked}")
    assert numbers(reply) == expected
    if not expected:
        assert "No record fits" in reply.words


def test_a_filter_goes_on_to_the_next_page(console):
    first = console.get("/audit?since=2026-01-05")
    [older] = [each for each in first.links if "before=" in each]
    assert older.startswith("?since=2026-01-05&")
    second = console.get("/audit" + older)
    assert (numbers(second)[0], numbers(second)[-1]) == (numbers(first)[-1] - 1, 4)
    assert "Show all" in second.words


def test_a_date_that_is_none_is_said(console):
    reply = console.get("/audit?since=yesterday")
    assert reply.status == 422
    assert "2026-01-31" in reply.words


def test_a_record_is_shown_whole_with_its_place_in_the_chain(console):
    reply = console.get("/audit/5")
    assert "ada, 2026-01-06 00:00:00 UTC" in reply.words
    assert '"release": 5' in reply.words
    assert "follows" in reply.words
    assert "/releases/toy/5" in reply.links
    assert {"/audit/4", "/audit/6"} <= set(reply.links)
    assert "none: it is the first" in console.get("/audit/1").words
    assert f"/erasures/{'0a' * 10}" in console.get(f"/audit/{ROWS + 21}").links
    assert [console.get(f"/audit/{each}").status for each in ("0", "999", "x")] == [404] * 3


def test_verifying_says_up_to_where_and_when_and_finds_what_was_changed(console, layout):
    assert "not verified yet" in console.get("/audit").words
    done = console.post("/audit/verify", {}, page="/audit")
    assert (done.status, done.headers["location"]) == (303, "/audit")
    words = console.get("/audit").words
    assert f"The log is whole: {ROWS + 21} records were checked." in words
    assert f"Verified up to record {ROWS + 21}, 2026-07-20 00:00:00 UTC" in words
    path = layout.audit / "000000000001.jsonl"
    path.write_text(path.read_text().replace("<because> of 7", "<because> of 8"))
    console.post("/audit/verify", {}, page="/audit")
    words = console.get("/audit").words
    assert "not what was written" in words
    assert "line 7" in words


def test_where_the_secret_is_not_none_is_made_and_links_are_checked_alone(console, layout):
    (layout.keys / KEY_FILE).unlink()
    console.post("/audit/verify", {}, page="/audit")
    assert "without their seals: audit.key is not here" in console.get("/audit").words
    assert not (layout.keys / KEY_FILE).exists()
    assert last_verified(layout) is None


def test_a_log_that_takes_long_is_left_to_the_command(layout, monkeypatch):
    monkeypatch.setattr("serving.console.audit.MOST_VERIFIED", ROWS)
    key = made_key(layout, ["*:audit"])
    console = Console(layout)
    assert "Verify now" not in console.get("/audit", key).words
    refused = console.post("/audit/verify", {}, key, page="/audit")
    assert refused.status == 422
    assert "throughline audit verify" in refused.words


def test_nobody_without_the_secret_can_say_that_the_log_was_found_whole(console, layout):
    console.post("/audit/verify", {}, page="/audit")
    assert last_verified(layout) is not None
    path = layout.state / NAME
    path.write_bytes(path.read_bytes().replace(b'"n_records":71', b'"n_records":99'))
    assert last_verified(layout) is None
    assert "not verified yet" in console.get("/audit").words


def test_a_key_for_one_use_case_sees_what_is_about_it_and_may_not_verify(layout):
    shelve(layout)
    key = made_key(layout, ["toy:audit", "toy:rollouts"])
    console = Console(layout)
    words = console.get("/audit?until=2026-01-06", key).words
    assert "use_case=toy" in words
    assert "use_case=fraud" not in words
    assert console.get("/audit/4", key).status == 404
    assert console.get("/audit/5", key).status == 200
    assert "Verify now" not in words
    verified = console.post("/audit/verify", {}, key, page="/drift")
    assert verified.status == 403
    other = made_key(layout, ["*:rollouts"])
    assert Console(layout).get("/audit", other).status == 403


def test_an_empty_home_says_what_will_be_put_down(tmp_path):
    reply = Console(Layout(tmp_path).create()).get("/audit")
    assert "Nothing was put down yet" in reply.words
