from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.access import (
    VERBS,
    AccessKey,
    Bucket,
    KeptSecret,
    RateLimit,
    Used,
    allows,
    parsed_scopes,
    read_key,
    secret_digest,
    share_of_worker,
    spend,
    standing,
    use,
    written_key,
)
from core.clock import DAY_MS
from core.errors import InvalidInputError

ID, SECRET, OTHER = "0123456789ab", "a" * 64, "b" * 64
SPENDINGS = st.lists(
    st.tuples(st.floats(-1, 5, allow_nan=False), st.integers(1, 30)), min_size=1, max_size=60
)


def a_key(*secrets_kept: KeptSecret, **changes) -> AccessKey:
    kept = secrets_kept or (KeptSecret(hashed=secret_digest(ID, SECRET)),)
    scopes = parsed_scopes(["fraud:predict"])
    return AccessKey(key_id=ID, owner="x", scopes=scopes, secrets=kept, created_ms=0, **changes)


def test_a_written_key_is_read_back():
    assert read_key(written_key(ID, SECRET)) == (ID, SECRET)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tl_",
        f"tl_{ID}",
        f"tl_{ID}_",
        f"tl_{ID}_{SECRET}0",
        f"tl_{ID}_{SECRET}\n",
        f"TL_{ID}_{SECRET}",
        f"tl_{ID.upper()}_{SECRET}",
        f"tl_{ID}_{'é' * 64}",
        f" tl_{ID}_{SECRET}",
    ],
)
def test_what_is_not_a_key_is_read_as_none(text):
    assert read_key(text) is None


def test_one_secret_under_two_ids_has_two_digests_and_no_digest_holds_it():
    secret = secrets.token_hex(32)
    one, two = secret_digest(ID, secret), secret_digest("b" * 12, secret)
    assert one != two
    assert secret not in one
    assert len(one) == 64


@pytest.mark.parametrize(
    ("key", "key_id", "secret", "now_ms", "expected"),
    [
        (a_key(), ID, SECRET, 5, "good"),
        (a_key(), "b" * 12, SECRET, 5, "unknown"),
        (a_key(), ID, OTHER, 5, "wrong_secret"),
        (a_key(expires_ms=5), ID, SECRET, 4, "good"),
        (a_key(expires_ms=5), ID, SECRET, 5, "expired"),
        (a_key(revoked_ms=5), ID, SECRET, 4, "revoked"),
        (a_key(revoked_ms=5), ID, OTHER, 6, "wrong_secret"),
    ],
)
def test_a_key_stands_as_it_was_left(key, key_id, secret, now_ms, expected):
    found, why = standing({ID: key}, key_id, secret, now_ms)
    assert (found, why) == (key if expected == "good" else None, expected)


def test_while_a_key_is_rotated_both_secrets_hold_and_then_the_new_one():
    former = KeptSecret(hashed=secret_digest(ID, SECRET), until_ms=10)
    keys = {ID: a_key(former, KeptSecret(hashed=secret_digest(ID, OTHER)))}
    assert [standing(keys, ID, secret, 9)[1] for secret in (SECRET, OTHER)] == ["good", "good"]
    assert [standing(keys, ID, secret, 10)[1] for secret in (SECRET, OTHER)] == ["expired", "good"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_opens_itself_alone(verb):
    scopes = parsed_scopes([f"fraud:{verb}"])
    assert [other for other in VERBS if allows(scopes, other, ["fraud"])] == [verb]
    assert not allows(scopes, verb, ["handbook"])
    assert not allows(scopes, verb, ["fraud", "handbook"])


def test_every_use_case_is_opened_by_a_star_and_nothing_by_no_scope():
    assert allows(parsed_scopes(["*:events"]), "events", ["fraud", "handbook"])
    assert allows(parsed_scopes(["fraud:events", "handbook:events"]), "events", ["fraud"])
    assert not allows((), "events", [])
    assert not allows(parsed_scopes(["*:predict"]), "events", [])


@pytest.mark.parametrize(
    "text", ["", "fraud", "fraud:", ":predict", "fraud:*", "fraud:predict,", "Fraud:predict"]
)
def test_what_is_not_a_scope_is_refused_with_the_verbs_there_are(text):
    with pytest.raises(InvalidInputError, match="predict, explain, passports") as refused:
        parsed_scopes([text])
    assert refused.value.code == "bad_scope"


@given(st.floats(0.1, 1_000, allow_nan=False), st.integers(1, 100), SPENDINGS)
def test_over_any_span_no_more_is_given_than_rate_times_span_and_burst(per_s, burst, spendings):
    limit = RateLimit(per_s=per_s, burst=burst)
    bucket, now_s, high_s = Bucket(burst, 0.0), 0.0, 0.0
    given_out: list[tuple[float, int]] = []
    for step_s, cost in spendings:
        now_s += step_s  # a clock that goes back too
        high_s = max(high_s, now_s)
        bucket, wait_s = spend(bucket, limit, now_s, cost)
        if not wait_s:
            given_out.append((high_s, cost))
    for i, (from_s, _) in enumerate(given_out):
        for to_s in {at_s for at_s, _ in given_out[i:]}:
            total = sum(cost for at_s, cost in given_out[i:] if at_s <= to_s)
            assert total <= per_s * (to_s - from_s) + burst + 1e-6


def test_a_clock_that_goes_back_takes_nothing_away():
    limit = RateLimit(per_s=1, burst=5)
    assert spend(Bucket(3.0, 10.0), limit, 5.0, 3) == (Bucket(0.0, 10.0), 0.0)


@given(st.floats(0.1, 1_000), st.integers(1, 100), st.data())
def test_who_waits_as_long_as_told_is_let_through(per_s, burst, data):
    limit = RateLimit(per_s=per_s, burst=burst)
    cost = data.draw(st.integers(1, burst))
    empty = Bucket(0.0, 0.0)
    same, wait_s = spend(empty, limit, 0.0, cost)
    assert same == empty
    assert spend(empty, limit, wait_s * (1 + 1e-9), cost)[1] == 0.0
    assert spend(empty, limit, wait_s * 0.99, cost)[1] > 0.0


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, DAY_MS), st.integers(1, 20)), max_size=80),
)
def test_no_day_has_more_than_its_quota(quota, spendings):
    used, now_ms = Used(0, 0), 0
    by_day: dict[int, int] = {}
    for step_ms, cost in spendings:
        now_ms += step_ms
        used, wait_s = use(used, quota, now_ms, cost)
        if not wait_s:
            by_day[now_ms // DAY_MS] = by_day.get(now_ms // DAY_MS, 0) + cost
        else:
            assert (now_ms + wait_s * 1_000) % DAY_MS == pytest.approx(0, abs=1e-3)
    assert all(count <= quota for count in by_day.values())


@given(st.integers(1, 64), st.floats(0.1, 1e6), st.integers(64, 10_000))
def test_all_workers_together_have_no_more_than_the_key(n_workers, per_s, burst):
    key = a_key(rate=RateLimit(per_s=per_s, burst=burst), daily_quota=7)
    share = share_of_worker(key, n_workers)
    assert share.rate is not None
    assert share.daily_quota == 7
    assert share.rate.per_s * n_workers == pytest.approx(per_s)
    assert burst - n_workers < share.rate.burst * n_workers <= burst
    assert share_of_worker(a_key(), n_workers) == a_key()
