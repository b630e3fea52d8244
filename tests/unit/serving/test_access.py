from __future__ import annotations

from typing import Any

import pytest

from core.access import RateLimit, parsed_scopes
from core.clock import DAY_MS, FixedClock
from core.errors import ConfigurationError, IntegrityError, OverloadedError
from serving.access import AUDITED, MAX_KINDS_OF_REFUSAL, Access, Asked
from serving.errors import (
    ListTooLongError,
    NoKeyError,
    OutOfScopeError,
    QuotaUsedError,
    RateLimitedError,
    SeveralKeysError,
)
from serving.hosts import check_host
from serving.quotas import SharedQuotas
from serving.transport.problems import problem
from stores.keys.access_keys import AccessKeyFile
from stores.shared_counts.sqlite import SqliteSharedCounts

SAID: dict[str, Any] = {"who": "ada", "why": ""}


@pytest.fixture
def file(tmp_path):
    return AccessKeyFile(tmp_path / "access")


@pytest.fixture
def clock():
    return FixedClock(DAY_MS)


def made(file, clock, scopes=("*:predict",), **more):
    return file.create(
        owner="x", scopes=parsed_scopes(scopes), now_ms=clock.now_ms(), **SAID, **more
    )


def access_of(file, clock, told=None, n_workers=1, counts=None):
    said = told if told is not None else []
    quotas = counts and SharedQuotas(counts, clock, said.append)
    return Access(file, clock, said.append, n_workers=n_workers, quotas=quotas)


def exchanged(*accesses):
    for access in accesses * 2:
        access.share_quotas(access.spent_today())


def asked(key, **changes):
    given: dict[str, Any] = {"verb": "predict", "use_cases": ["toy"], "route": "/r", "client": "c"}
    return Asked(authorization=key and f"Bearer {key}", **(given | changes))


def test_of_several_keys_none_is_taken_and_that_is_audited(file, clock):
    key = made(file, clock)
    access = access_of(file, clock)
    access.admit(asked(key))
    with pytest.raises(SeveralKeysError) as refused:
        access.admit(asked(key, is_ambiguous=True))
    assert problem(refused.value).status_code == 400
    assert [(each.code, each.why) for each in access.taken_refusals()] == [
        ("several_keys", "several_keys")
    ]


def test_a_home_without_keys_asks_nobody(file, clock):
    access = access_of(file, clock)
    assert access.is_open
    grant = access.admit(asked(None))
    grant.require("explain")
    grant.charge(10**9)


def test_a_file_that_cannot_be_read_stops_the_start(file, clock):
    made(file, clock)
    file.path.write_text("torn")
    with pytest.raises(IntegrityError):
        access_of(file, clock)


def test_a_file_that_has_gone_changes_nothing_and_is_said_once_and_stops_the_next_start(
    file, clock
):
    key = made(file, clock)
    said: list[str] = []
    access = access_of(file, clock, said)
    content = file.path.read_bytes()
    file.path.unlink()
    for _ in range(2):
        access.look({})
    assert said == ["the access keys stay as they were: their file has gone; "
                    "put it back, or make a key"]  # fmt: skip
    access.admit(asked(key))
    for start in (lambda: access_of(file, clock), lambda: check_host("::1", file, clock, print)):
        with pytest.raises(IntegrityError, match="have gone"):
            start()
    file.path.write_bytes(content)
    access_of(file, clock).admit(asked(key))


def test_an_older_file_put_back_changes_nothing_and_is_said_once(file, clock):
    key = made(file, clock)
    older = file.path.read_bytes()
    told: list[str] = []
    access = access_of(file, clock, told)
    file.revoke(key.split("_")[1], now_ms=clock.now_ms(), **SAID)
    access.look({})
    with pytest.raises(NoKeyError):
        access.admit(asked(key))
    file.path.write_bytes(older)
    access.look({})
    access.look({})
    with pytest.raises(NoKeyError):
        access.admit(asked(key))
    (said,) = told
    assert "older than the keys known" in said


def test_a_list_takes_its_points_and_a_refused_one_takes_none(file, clock):
    access = access_of(file, clock, n_workers=1)
    key = made(file, clock, rate=RateLimit(per_s=1, burst=3), daily_quota=6)
    access.look({})
    access.admit(asked(key)).charge(2)
    for _ in range(5):
        with pytest.raises(RateLimitedError) as refused:
            access.admit(asked(key)).charge(3)
        assert refused.value.retry_after_s == 2.0
    clock.advance(2_000)
    access.admit(asked(key)).charge(3)
    clock.advance(3_000)
    access.admit(asked(key))  # the sixth point of the day
    with pytest.raises(QuotaUsedError):
        access.admit(asked(key))


def test_whoever_comes_back_as_late_as_told_is_let_through(file, clock):
    key = made(file, clock, rate=RateLimit(per_s=0.5, burst=4))
    access = access_of(file, clock)
    access.admit(asked(key)).charge(4)
    clock.advance(2_000)  # one point is there: enough to be admitted, not for the list
    with pytest.raises(RateLimitedError) as refused:
        access.admit(asked(key)).charge(4)
    clock.advance(int(refused.value.retry_after_s * 1_000))
    access.admit(asked(key)).charge(4)


@pytest.mark.parametrize("n_points", [4, 1_000])
@pytest.mark.parametrize(
    "limits",
    [
        {"rate": RateLimit(per_s=1, burst=3)},
        {"daily_quota": 3},
        {"rate": RateLimit(per_s=1, burst=9), "daily_quota": 3},
    ],
)
def test_a_list_that_can_never_be_spent_is_no_reason_to_come_back(file, clock, limits, n_points):
    key = made(file, clock, **limits)
    access = access_of(file, clock)
    with pytest.raises(ListTooLongError, match="at most 3") as refused:
        access.admit(asked(key)).charge(n_points)
    assert refused.value.code == "over_burst"
    access.admit(asked(key)).charge(3)


def test_a_quota_holds_until_the_next_day_and_costs_no_rate(file, clock):
    key = made(file, clock, daily_quota=2, rate=RateLimit(per_s=0.001, burst=3))
    access = access_of(file, clock)
    access.admit(asked(key))
    access.admit(asked(key))
    for _ in range(3):
        with pytest.raises(QuotaUsedError) as refused:
            access.admit(asked(key))
    assert refused.value.retry_after_s == DAY_MS / 1_000
    assert problem(refused.value).headers["retry-after"] == "86400"
    clock.advance(DAY_MS)
    access.admit(asked(key))


@pytest.fixture
def counts(tmp_path):
    return SqliteSharedCounts(tmp_path / "counts.sqlite")


def test_a_quota_is_whole_at_each_worker_and_counted_over_all(file, clock, counts):
    key = made(file, clock, daily_quota=5)
    workers = [access_of(file, clock, n_workers=2, counts=counts) for _ in range(2)]
    workers[0].admit(asked(key)).charge(4)
    exchanged(*workers)
    workers[1].admit(asked(key))
    for worker in workers:
        exchanged(*workers)
        with pytest.raises(QuotaUsedError):
            worker.admit(asked(key))
    clock.advance(DAY_MS)
    exchanged(*workers)
    workers[1].admit(asked(key)).charge(5)


def test_a_worker_that_starts_anew_goes_on_with_the_day(file, clock, counts):
    key = made(file, clock, daily_quota=5)
    before = access_of(file, clock, counts=counts)
    before.admit(asked(key)).charge(3)
    exchanged(before)
    after = access_of(file, clock, counts=counts)
    exchanged(after)
    with pytest.raises(QuotaUsedError):
        after.admit(asked(key)).charge(3)
    after.admit(asked(key)).charge(2)


def test_while_others_cannot_be_reached_what_they_last_said_counts(file, clock, tmp_path):
    told: list[str] = []
    key = made(file, clock, daily_quota=5)
    counts = SqliteSharedCounts(tmp_path / "counts.sqlite")
    other, ours = access_of(file, clock, counts=counts), access_of(file, clock, told, counts=counts)
    other.admit(asked(key)).charge(3)
    exchanged(other, ours)
    (tmp_path / "counts.sqlite").unlink()
    (tmp_path / "counts.sqlite").mkdir()
    exchanged(ours)
    (said,) = told
    assert "counted in this process alone" in said
    ours.admit(asked(key)).charge(2)
    with pytest.raises(QuotaUsedError):
        ours.admit(asked(key))


@pytest.mark.parametrize("document", [b"\xff", b"not json", b"[]", b'{"id": "many"}'])
def test_what_somebody_else_put_among_the_counts_is_told_once_and_stops_nothing(
    file, clock, counts, document
):
    key = made(file, clock, daily_quota=10)
    said: list[str] = []
    first, second = (access_of(file, clock, said, counts=counts) for _ in range(2))
    counts.publish(f"quotas-{clock.now_ms() // DAY_MS}", "nobody", document, now_ms=clock.now_ms())
    first.admit(asked(key)).charge(6)
    exchanged(first, second)
    with pytest.raises(QuotaUsedError):
        second.admit(asked(key)).charge(5)
    assert said == ["of what others let through, 1 document cannot be read; "
                    "see who else writes there"] * 2  # fmt: skip


def test_a_key_that_changes_keeps_what_it_has_spent(file, clock):
    key = made(file, clock, daily_quota=1)
    access = access_of(file, clock)
    access.admit(asked(key))
    rotated = file.rotate(key.split("_")[1], overlap_ms=1, now_ms=clock.now_ms(), **SAID)
    access.look({})
    with pytest.raises(OverloadedError):
        access.admit(asked(rotated))


def test_refusals_are_counted_by_kind_and_their_kinds_are_bounded(file, clock):
    key = made(file, clock)
    access = access_of(file, clock)
    for number in range(MAX_KINDS_OF_REFUSAL + 50):
        with pytest.raises(OutOfScopeError):
            access.admit(asked(key, verb="events", client=f"c{number}"))
    with pytest.raises(OutOfScopeError):
        access.admit(asked(key, verb="events", client="c0"))
    access.look(access.taken_refusals())
    assert not access.taken_refusals()
    (record,) = file.audit.latest(9, lambda record: record.what == "access_refused")
    entries = record.about["refusals"]
    assert len(entries) == MAX_KINDS_OF_REFUSAL + 1
    assert entries[0]["count"] == 2
    assert (entries[0]["code"], entries[0]["why"], entries[0]["key"]) == (
        "not_in_scope",
        "events",
        key.split("_")[1],
    )
    assert (entries[-1]["code"], entries[-1]["count"]) == ("many", 50)


def test_who_tries_keys_for_hours_does_not_fill_the_disk_and_none_is_forgotten(file, clock):
    key = made(file, clock)
    access = access_of(file, clock)

    def refused(times):
        for _ in range(times):
            with pytest.raises(OutOfScopeError):
                access.admit(asked(key, verb="events"))
            access.look(access.taken_refusals())
            clock.advance(500)

    refused(7_200)  # an hour
    records = file.audit.latest(9_999, lambda record: record.what == "access_refused")
    assert len(records) <= AUDITED.burst + 3_600 * AUDITED.per_s + 1
    access.look({}, is_last=True)
    records = file.audit.latest(9_999, lambda record: record.what == "access_refused")
    assert sum(record.about["refusals"][0]["count"] for record in records) == 7_200


def test_a_changed_audit_log_is_told_and_the_keys_are_followed_all_the_same(file, clock):
    key = made(file, clock)
    told: list[str] = []
    access = access_of(file, clock, told)
    (file.audit.directory / "head.json").unlink()
    with pytest.raises(OutOfScopeError):
        access.admit(asked(key, verb="events"))
    for _ in range(3):
        access.look(access.taken_refusals())
    assert len(told) == 1
    assert "who was refused is not in the audit log" in told[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_on_this_machine_an_open_service_only_warns(file, clock, host):
    told: list[str] = []
    check_host(host, file, clock, told.append)
    assert len(told) == 1
    assert told[0].startswith("warning: no keys")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.0.1", "example.org"])
def test_elsewhere_it_takes_a_key_that_opens_something(file, clock, host):
    told: list[str] = []
    with pytest.raises(ConfigurationError, match="throughline keys create") as refused:
        check_host(host, file, clock, told.append)
    assert refused.value.code == "open_to_others"
    key = made(file, clock)
    check_host(host, file, clock, told.append)
    file.revoke(key.split("_")[1], now_ms=clock.now_ms(), **SAID)
    with pytest.raises(ConfigurationError):
        check_host(host, file, clock, told.append)
    assert told == []
