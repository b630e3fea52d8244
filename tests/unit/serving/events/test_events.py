import asyncio
import json

import pytest
from bundles import serve, shelve
from memory_store import MemoryOnlineStore
from payments import NOW_MS, PAYMENTS, payment

from core.clock import MINUTE_MS, FixedClock
from core.errors import DependencyError, OverloadedError
from core.rows.row_parser import RowParser
from serving.engine.grouping import MAX_WAITING
from serving.errors import BrokenContractError, ListTooLongError, NotFoundError
from serving.events.appending import GroupAppender, Line
from serving.events.events import MAX_EVENTS, EventIntake
from stores.log.source_log import SourceLog
from stores.online.claims import CLAIM_MS


def take(intake, raw, source="payments"):
    return asyncio.run(intake.take(source, raw))


def statuses(results):
    return [(r.status, r.violation.code if r.violation else None) for r in results]


def test_an_event_is_appended_as_its_contract_reads_it(intake, appenders):
    raw = {**payment("e1", NOW_MS), "amount_minor": "250", "event_timestamp": "2026-01-01T00:00Z"}
    (result,) = take(intake, raw)
    assert (result.status, result.position) == ("accepted", 0)
    (line,) = appenders.lines["payments"]
    assert json.loads(line) == payment("e1", NOW_MS, amount_minor=250)


def test_the_appended_line_has_the_digest_that_was_claimed(intake, appenders):
    raw = {**payment("e1", NOW_MS), "amount_minor": 250.0}
    take(intake, raw)
    parser = RowParser(PAYMENTS)
    again = parser.parse(json.loads(appenders.lines["payments"][0]))
    assert again == parser.parse(raw)


def test_the_same_event_again_is_accepted_and_ignored(intake, appenders):
    take(intake, payment("e1", NOW_MS))
    assert statuses(take(intake, payment("e1", NOW_MS))) == [("duplicate", None)]


def test_the_same_event_spelt_otherwise_is_the_same(intake):
    take(intake, payment("e1", NOW_MS))
    raw = {**payment("e1", NOW_MS), "amount_minor": "100", "event_timestamp": str(NOW_MS)}
    assert statuses(take(intake, raw)) == [("duplicate", None)]


def test_another_payload_under_the_id_is_a_conflict(intake, appenders):
    take(intake, payment("e1", NOW_MS))
    results = take(intake, payment("e1", NOW_MS, amount_minor=999))
    assert statuses(results) == [("rejected", "duplicate_conflict")]
    assert len(appenders.lines["payments"]) == 1


def test_an_id_is_free_again_after_seven_days(bench, intake):
    take(intake, payment("e1", NOW_MS))
    bench.clock.advance(CLAIM_MS + 1)
    assert statuses(take(intake, payment("e1", NOW_MS, amount_minor=999))) == [("accepted", None)]


def test_the_same_id_in_another_source_is_another_event(intake):
    take(intake, payment("e1", NOW_MS))
    verdict = {"event_id": "e1", "event_timestamp": NOW_MS, "payment_id": "p", "terminal_id": "t"}
    results = take(intake, {**verdict, "is_fraud": 0}, source="verdicts")
    assert statuses(results) == [("accepted", None)]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (3, "malformed"),
        (None, "malformed"),
        ({}, "missing_field"),
        (payment("e1", NOW_MS, amount_minor=0), "out_of_range"),
        (payment("e1", NOW_MS, extra=1), "unknown_field"),
        (payment("e1", NOW_MS + 6 * MINUTE_MS), "future_event"),
    ],
)
def test_an_event_that_breaks_the_contract_is_not_taken(intake, appenders, raw, code):
    assert statuses(take(intake, raw)) == [("rejected", code)]
    assert appenders.lines == {}


def test_many_are_judged_one_by_one_in_order(intake, appenders):
    take(intake, payment("old", NOW_MS))
    results = take(
        intake,
        [
            payment("a", NOW_MS),
            payment("b", NOW_MS, amount_minor=-1),
            payment("a", NOW_MS),
            payment("a", NOW_MS, amount_minor=7),
            payment("old", NOW_MS, amount_minor=7),
            payment("old", NOW_MS),
            payment("c", NOW_MS),
        ],
    )
    assert statuses(results) == [
        ("accepted", None),
        ("rejected", "out_of_range"),
        ("duplicate", None),
        ("rejected", "duplicate_conflict"),
        ("rejected", "duplicate_conflict"),
        ("duplicate", None),
        ("accepted", None),
    ]
    ids = [json.loads(line)["event_id"] for line in appenders.lines["payments"]]
    assert ids.count("a") == ids.count("c") == 1
    assert "b" not in ids


def test_what_conflicts_and_its_twin_are_both_refused(intake):
    take(intake, payment("a", NOW_MS))
    other = payment("a", NOW_MS, amount_minor=7)
    assert statuses(take(intake, [other, other])) == [("rejected", "duplicate_conflict")] * 2


def test_an_event_that_was_claimed_but_not_appended_is_appended_by_its_sender_s_retry(
    intake, appenders
):
    # The crash between claim and append: nobody was told, so the sender sends again.
    appenders.failing = 1
    with pytest.raises(DependencyError):
        take(intake, payment("e1", NOW_MS))
    assert appenders.lines == {}
    assert statuses(take(intake, payment("e1", NOW_MS))) == [("duplicate", None)]
    assert len(appenders.lines["payments"]) == 1


def test_a_claimed_event_is_appended_though_what_conflicts_with_it_comes_first(intake, appenders):
    event = payment("e1", NOW_MS)
    appenders.failing = 1
    with pytest.raises(DependencyError):
        take(intake, event)
    results = take(intake, [{**event, "amount_minor": 9}, event, event])
    assert statuses(results) == [
        ("rejected", "duplicate_conflict"), ("duplicate", None), ("duplicate", None)
    ]  # fmt: skip
    assert [json.loads(line) for line in appenders.lines["payments"]] == [event]


def test_a_source_that_nobody_reads_is_not_found(intake):
    with pytest.raises(NotFoundError) as unknown:
        take(intake, payment("e1", NOW_MS), source="secret")
    assert unknown.value.code == "unknown_source"
    assert "secret" not in str(unknown.value)


def test_lists_have_bounds(intake):
    with pytest.raises(BrokenContractError):
        take(intake, [])
    with pytest.raises(ListTooLongError):
        take(intake, [payment(f"e{n}", NOW_MS) for n in range(MAX_EVENTS + 1)])


def test_a_new_contract_is_followed(bench, intake):
    take(intake, payment("e1", NOW_MS))
    release = shelve(bench.layout)
    serve(bench.layout, release, counter=2)
    bench.watcher.look()
    assert statuses(take(intake, payment("e2", NOW_MS))) == [("accepted", None)]


def test_no_result_repeats_a_value(intake):
    results = take(intake, [payment("4111-1111", NOW_MS, **{"4111 1111": 4111})])
    assert "4111" not in repr([result.to_json() for result in results])


class CountingLog(SourceLog):
    calls = 0

    def append(self, lines, *, now_ms, keys=()):
        type(self).calls += 1
        return super().append(lines, now_ms=now_ms, keys=keys)


def test_requests_that_come_together_share_a_sync(tmp_path):
    CountingLog.calls = 0
    appender = GroupAppender(lambda: CountingLog(tmp_path, "payments"), FixedClock(NOW_MS))

    async def append_all():
        return await asyncio.gather(
            *(
                appender.append([Line(b'{"n":%d}' % n, b""), Line(b'{"m":%d}' % n, b"")])
                for n in range(100)
            )
        )

    positions = asyncio.run(append_all())
    assert CountingLog.calls <= 3
    records = {at: record.raw for at, record in SourceLog(tmp_path, "payments").read_open()}
    for n, (first, second) in enumerate(positions):
        assert (records[first], records[second]) == ({"n": n}, {"m": n})


def test_a_group_that_fails_fails_for_all_of_it_and_for_no_other(tmp_path):
    class FailingOnce(SourceLog):
        is_failing = True

        def append(self, lines, *, now_ms, keys=()):
            if self.is_failing:
                type(self).is_failing = False
                raise DependencyError("the disk is full")
            return super().append(lines, now_ms=now_ms, keys=keys)

    appender = GroupAppender(lambda: FailingOnce(tmp_path, "payments"), FixedClock(NOW_MS))

    async def append_all():
        together = await asyncio.gather(
            *(appender.append([Line(b"{}", b"")]) for _ in range(5)), return_exceptions=True
        )
        return together, await appender.append([Line(b"{}", b"")])

    together, after = asyncio.run(append_all())
    assert any(isinstance(result, DependencyError) for result in together)
    assert len(after) == 1


def test_who_comes_to_a_full_queue_is_told_so(tmp_path):
    appender = GroupAppender(lambda: SourceLog(tmp_path, "payments"), FixedClock(NOW_MS))

    async def overfill():
        waiting = asyncio.gather(
            *(appender.append([Line(b"{}", b"")] * 1_000) for _ in range(MAX_WAITING // 1_000))
        )
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as refused:
            await appender.append([Line(b"{}", b"")])
        await waiting
        return refused.value.code

    assert asyncio.run(overfill()) == "events_waiting"


def test_requests_at_once_claim_together_and_each_hears_what_it_would_alone(bench, appenders):
    class CountedStore(MemoryOnlineStore):
        calls = 0

        def claim(self, items, *, expires_in_ms, now_ms):
            self.calls += 1
            return super().claim(items, expires_in_ms=expires_in_ms, now_ms=now_ms)

    store = CountedStore()
    intake = EventIntake(bench.releases, store, appenders, bench.clock, bench.guard)
    same, other = payment("same", NOW_MS), payment("same", NOW_MS, amount_minor=7)
    sent = [same, *(payment(f"e{n}", NOW_MS) for n in range(50)), same, other]

    async def send_all():
        return await asyncio.gather(*(intake.take("payments", event) for event in sent))

    answers = [result.status for (result,) in asyncio.run(send_all())]
    assert answers == ["accepted"] * 51 + ["duplicate", "rejected"]
    assert store.calls <= 2
    kept = [json.loads(line)["event_id"] for line in appenders.lines["payments"]]
    assert sorted(kept) == sorted(event["event_id"] for event in sent[:-1])


def test_who_comes_when_too_many_wait_to_be_claimed_is_told_so(bench, appenders):
    intake = EventIntake(bench.releases, bench.store, appenders, bench.clock, bench.guard)
    batches = [
        [payment(f"{batch}-{n}", NOW_MS) for n in range(MAX_EVENTS)]
        for batch in range(MAX_WAITING // MAX_EVENTS + 1)
    ]

    async def send_all():
        sends = (intake.take("payments", batch) for batch in batches)
        return await asyncio.gather(*sends, return_exceptions=True)

    answers = asyncio.run(send_all())
    refused = [answer for answer in answers if isinstance(answer, OverloadedError)]
    assert [error.code for error in refused] == ["events_waiting"]
    # What was taken is kept, nothing else is. A busy machine may miss the store's patience.
    taken = [answer for answer in answers if not isinstance(answer, BaseException)]
    late = [answer for answer in answers if isinstance(answer, DependencyError)]
    assert len(taken) + len(late) == MAX_WAITING // MAX_EVENTS
    assert taken
    assert len(appenders.lines["payments"]) == len(taken) * MAX_EVENTS


def test_long_lists_let_others_in_between(bench, appenders):
    intake = EventIntake(bench.releases, bench.store, appenders, bench.clock, bench.guard)
    lists = [[payment(f"{k}-{n}", NOW_MS) for n in range(MAX_EVENTS)] for k in range(8)]
    turns = []

    async def send_all():
        sending = asyncio.gather(*(intake.take("payments", each) for each in lists))
        while not sending.done():
            turns.append(len(appenders.lines.get("payments", ())))
            await asyncio.sleep(0)
        await sending

    asyncio.run(send_all())
    assert len(turns) >= len(lists)


def test_claims_of_a_store_that_is_down_are_the_caller_s_to_hear(bench, appenders):
    class DownStore(MemoryOnlineStore):
        def claim(self, items, *, expires_in_ms, now_ms):
            raise DependencyError("down")

    intake = EventIntake(bench.releases, DownStore(), appenders, bench.clock, bench.guard)
    with pytest.raises(DependencyError):
        take(intake, payment("e1", NOW_MS))
    assert appenders.lines == {}


def test_a_store_that_keeps_failing_is_left_alone_and_events_are_refused_at_once(bench, appenders):
    class DownStore(MemoryOnlineStore):
        claims = 0

        def claim(self, items, *, expires_in_ms, now_ms):
            self.claims += 1
            raise DependencyError("down")

    store = DownStore()
    intake = EventIntake(bench.releases, store, appenders, bench.clock, bench.guard)
    codes = []
    for n in range(20):
        with pytest.raises(DependencyError) as refused:
            take(intake, payment(f"e{n}", NOW_MS))
        codes.append(refused.value.code)
    assert codes == ["dependency"] * 10 + ["dependency_resting"] * 10
    assert store.claims == 10
