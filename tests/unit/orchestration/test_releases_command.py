from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import partial

import pytest
from bundles import bundle_files, shelve
from desks import Desk
from payments import NOW_MS
from rollouts import fast_rollout

from core.archive import ReleaseFacts, stale_releases
from core.clock import DAY_MS
from core.served import is_about_channels, last_served_ms, served_at
from stores.audit.log import AuditLog
from stores.cold.tier import ColdTier
from stores.layout import Layout
from stores.shelf.archives import Archived, archive, archived
from stores.shelf.bundle import CARD_DATA
from stores.sweeping import files_of_bundle


@pytest.fixture
def desk(tmp_path):
    return Desk(Layout(tmp_path).create())


@pytest.fixture
def releases(throughline, tmp_path):
    return partial(throughline, tmp_path, "releases")


def shelved(desk, n):
    return [
        shelve(desk.layout, use_case="fraud", rollout=fast_rollout(), sign_offs=("risk", "owner"))
        for _ in range(n)
    ]


def records(desk):
    return AuditLog.of(desk.layout, is_signing=False).latest(10**6, is_about_channels)


def moved(desk):
    """A history of every move; instants and the channels after each."""
    first, second, third = shelved(desk, 3)
    moves = [
        ("promote", first), ("shadow", second), ("start", second), ("withdraw", None),
        ("shadow", third), ("start", second), ("promote", second), ("promote", third),
        ("rollback", None), ("shadow", first), ("shadow", None), ("start", third),
        ("rollback", first),
    ]  # fmt: skip
    seen = []
    for action, release in moves:
        answer = desk.ask(action, release, use_case="fraud")
        assert answer.code == "done", answer.because
        seen.append((desk.clock.now_ms(), desk.state("fraud")))
        desk.clock.advance(1_000)
    return seen


def test_what_was_live_is_answered_for_any_instant_by_the_log_alone(desk):
    seen = moved(desk)
    log = records(desk)
    assert served_at(log, "fraud", seen[0][0] - 1).champion is None
    for at_ms, state in seen:
        for instant in (at_ms, at_ms + 999):
            found = served_at(log, "fraud", instant)
            assert (found.champion, found.challenger, found.shadow) == (
                state.champion, state.challenger, state.shadow,
            )  # fmt: skip
            assert found.challenger_weight == state.challenger_weight
    assert served_at(log, "another", seen[-1][0]).champion is None


def test_the_command_tells_who_and_why_and_holds_it_to_the_signed_channels(desk, releases):
    seen = moved(desk)
    code, said = releases("live", "fraud", "--at", at(seen[7][0]))
    assert code == 0
    assert "release 3 was champion" in said
    assert "by ann: test;" in said
    assert "audit record" in said
    assert releases("live", "fraud", "--at", "2000-01-01")[1].endswith("no release served\n")
    for path in desk.layout.audit.glob("*"):
        path.unlink()
    code, said = releases("live", "fraud", "--at", at(seen[7][0]))
    assert code == 4
    assert "the signed channels of that time (8) say otherwise: champion 3" in said


def at(instant_ms):
    return datetime.fromtimestamp(instant_ms / 1_000, UTC).isoformat()


def test_releases_are_listed_with_where_they_stand(desk, releases):
    assert "no release yet" in releases("list", "fraud")[1]
    first, second, _ = shelved(desk, 3)
    desk.ask("promote", first, use_case="fraud")
    desk.ask("promote", second, use_case="fraud")
    rows = [line.split() for line in releases("list", "fraud")[1].splitlines()]
    assert [row[-1] for row in rows if row and row[0] in "123"] == ["before", "champion", "shelf"]


def test_a_card_is_shown_as_text_and_as_data(desk, releases):
    files = {**bundle_files(), CARD_DATA: b'{"kind":"line"}'}
    shelve(desk.layout, use_case="fraud", files=files)
    assert "# A line" in releases("card", "fraud", "1")[1]
    assert json.loads(releases("card", "fraud", "1", "--json")[1]) == {"kind": "line"}


def to_the_cold_tier(desk, release, folder):
    files = files_of_bundle(desk.shelf.bundle("fraud", release))
    tier = ColdTier(desk.layout, str(folder))
    tier.move(
        "bundles/fraud", str(release), lambda: files, born_ms=1, why="archived", now_ms=NOW_MS
    )


def test_an_archived_release_serves_in_no_way_until_it_is_restored(
    desk, releases, tmp_path_factory
):
    first, second = shelved(desk, 2)
    desk.ask("promote", first, use_case="fraud")
    desk.ask("promote", second, use_case="fraud")
    paper = Archived(use_case="fraud", release=first, who="ann", because="old", at_ms=NOW_MS)
    archive(desk.shelf, paper)
    for action in ("promote", "start", "shadow", "rollback"):
        assert desk.ask(action, first, use_case="fraud").code == "archived", action
    assert "archived: old" in releases("list", "fraud")[1]
    to_the_cold_tier(desk, first, tmp_path_factory.mktemp("cold"))
    code, said = releases("card", "fraud", str(first))
    assert code != 0
    assert "only the manifest of release 1 of fraud is here" in said
    code, _ = releases("restore", "fraud", str(first), "--why", "needed", "--who", "bob")
    assert code == 0
    assert archived(desk.shelf, "fraud", first) is None
    assert desk.ask("rollback", first, use_case="fraud").code == "done"
    told = AuditLog.of(desk.layout, is_signing=False).latest(9, lambda r: r.what.startswith("rel"))
    assert [record.what for record in told] == ["release_archived", "release_restored"]
    assert releases("restore", "fraud", str(first), "--why", "again")[0] == 3


def test_what_is_served_newest_or_gone_back_to_is_never_stale():
    facts = [
        ReleaseFacts(release=1, idle_since_ms=0),
        ReleaseFacts(release=2, idle_since_ms=0, is_served=True),
        ReleaseFacts(release=3, idle_since_ms=0),
        ReleaseFacts(release=4, idle_since_ms=0, is_archived=True),
        ReleaseFacts(release=5, idle_since_ms=11 * DAY_MS),
        ReleaseFacts(release=6, idle_since_ms=0),
    ]
    found = stale_releases(facts, (3,), after_days=90, now_ms=100 * DAY_MS)
    assert list(found) == [1]
    assert stale_releases(facts, (9, 8, 7, 3), after_days=90, now_ms=100 * DAY_MS).keys() == {1, 3}


def test_a_release_is_idle_from_its_last_move_on(desk):
    first, second = shelved(desk, 2)
    desk.ask("promote", first, use_case="fraud")
    desk.clock.advance(DAY_MS)
    desk.ask("promote", second, use_case="fraud")
    assert last_served_ms(records(desk), "fraud")[first] == desk.clock.now_ms()


@pytest.mark.slow  # the declaration is compiled, by Feast
def test_what_the_declared_contract_changes_is_told_before_anything_is_trained(desk, releases):
    code, said = releases("contract", "fraud")
    assert (code, "no release serves yet" in said) == (0, True)
    (first,) = shelved(desk, 1)  # its decisions and fields are the toy's, not those of fraud
    assert desk.ask("promote", first, use_case="fraud").is_accepted
    code, said = releases("contract", "fraud")
    assert code == 4
    assert "contract 1.0 breaks callers of 1.0: " in said
    assert "declare version 2.0" in said
    assert re.search(r"/entities/terminal_id +.* breaks", said)
