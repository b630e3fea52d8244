"""A log over Kafka is the same log: held to one over files, and to a broker that is killed."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from contextlib import closing

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from folding_world import CrashingStore, World
from online_processes import folder, service
from payments import NOW_MS, PAYMENTS, payment
from topic_log import PATIENCE_S, Party, again, now_ms, numbers, over, raws, read, send, spread

from core.clock import SystemClock
from core.erasing.sought import Sought
from core.errors import ConfigurationError, DependencyError, IntegrityError
from core.features.keys import epoch_of, offset_of, position
from serving.events.appending import Line, LogAppenders
from serving.folder import Folder
from serving.settings import read_settings
from serving.telemetry.process_metrics import FolderMetrics
from spark_jobs.crash import CrashPoints
from spark_jobs.reading import LogSlice, SliceReader
from stores.erasing.log import erase_in_log
from stores.layout import Layout
from stores.log.kafka.clients import ADMIN, delete_before, first_offsets, library, new_admin
from stores.log.kafka.place import KafkaPlace
from stores.log.kafka.topics import ensure_topic
from stores.log.source_log import SourceLog
from stores.log.tail import UNPLACED
from stores.online import open_online_store
from stores.sweeping import remove_epochs

pytestmark = pytest.mark.slow
CARDS = [f"c{n}" for n in range(5)]
START_MS = now_ms()


@pytest.fixture
def log(tmp_path, place):
    with closing(over(tmp_path / "log", place)) as log:
        yield log


def test_every_event_has_one_position_whoever_reads(log):
    assert send(log, range(50), spread) == [UNPLACED] * 50
    first = read(log)
    send(log, range(50, 80), spread)
    found = read(log)
    assert found[:50] == first
    assert sorted(numbers(found)) == list(range(80))
    assert [at for at, _ in found] == [position(1, n) for n in range(80)]
    with closing(SourceLog(log.directory, "payments")) as other:
        assert read(other) == found
        assert read(other, found[41][0]) == found[42:]


def test_events_of_a_key_keep_their_order(log):
    for start in range(0, 60, 10):
        send(log, range(start, start + 10), spread)
        read(log)
    found = numbers(read(log))
    for key in range(7):
        of_key = [n for n in found if n % 7 == key]
        assert of_key == sorted(of_key)


def test_a_sealed_epoch_keeps_its_positions_and_is_read_by_partition(log):
    send(log, range(30), spread)
    before = read(log)
    send(log, range(30, 40), spread)
    assert log.seal(now_ms()) == 1
    send(log, range(40, 45), spread)
    found = read(log)
    assert found[:30] == before
    assert [epoch_of(at) for at, _ in found] == [1] * 40 + [2] * 5
    (epoch,) = log.epochs()
    assert (epoch.rows, epoch.format, epoch.partitions) == (40, "kafka", 3)
    log.verify(1)
    parts = [record for n in range(3) for record in log.records(1, partition=n)]
    assert sorted(parts, key=lambda record: record.offset) == [record for _, record in found[:40]]
    assert [r.offset for r in log.records(1, 35)] == list(range(35, 40))
    assert log.seal(now_ms()) == 2
    assert log.seal(now_ms()) is None


def test_what_waits_is_told_and_since_when(log):
    assert log.waiting(1) is None
    send(log, range(3))
    waits = log.waiting(7)
    assert (waits.events, waits.since_ms) == (3, 7)
    send(log, range(2))
    waits = log.waiting(9)
    assert (waits.events, waits.since_ms) == (5, 7)
    log.seal(10)
    assert log.waiting(11) is None


def test_a_log_in_a_file_goes_on_over_kafka_and_nowhere_else(tmp_path, place):
    log, other = (SourceLog(tmp_path, "payments") for _ in range(2))
    send(log, [0, 1])
    log.move_to(place, now_ms=5)
    assert send(other, [2, 3]) == [UNPLACED] * 2  # opened before the move
    assert numbers(read(other)) == [0, 1, 2, 3]
    assert [epoch.format for epoch in other.epochs()] == ["ndjson"]
    with pytest.raises(ConfigurationError, match="another topic"):
        log.move_to(place.model_copy(update={"topic": "other"}), now_ms=6)


def test_readers_sealers_and_senders_at_once_agree_on_every_position(tmp_path, place):
    """Two senders, two who number, one who seals; each reader's positions are those of all."""
    over(tmp_path, place).close()
    party = Party(tmp_path)
    first: dict[int, int] = {}
    second: dict[int, int] = {}
    senders = [party.start(party.send, start) for start in (0, 1_000)]
    others = [party.start(party.read, first), party.start(party.read, second)]
    others.append(party.start(party.seal))
    for thread in senders:
        thread.join(PATIENCE_S)
    party.is_over.set()
    for thread in others:
        thread.join(PATIENCE_S)
    assert party.faults == []
    assert first == second
    assert sorted(first.values()) == list(range(2_000))
    with closing(SourceLog(tmp_path, "payments")) as log:
        found = list(log.read_open())
        assert dict(zip([at for at, _ in found], numbers(found), strict=True)) == first
        assert len(log.epochs()) > 1


def test_events_that_brokers_lost_are_told_and_not_passed_over(log, place):
    send(log, range(20), spread)
    read(log)
    log.seal(now_ms())
    delete_before(new_admin(place), place.topic, (3, 3, 3))
    other = SourceLog(log.directory, "payments")
    with closing(other), pytest.raises(IntegrityError, match="no longer holds") as error:
        list(other.read_open())
    assert error.value.code == "log_damaged"


def first_kept(place):
    admin = new_admin(place)
    return first_offsets(admin, place.topic, 3)


def test_who_is_forgotten_leaves_the_topic_and_no_other_event_moves(log, place):
    """In the middle of three sealed epochs and in the open one; run again after a kill."""
    for start in (0, 20, 40, 60):
        send(log, range(start, start + 20), spread)
        if start in (20, 60):
            log.append([b'{"n":1000,"card":"card-77"}'], now_ms=0)
        read(log)
        if start < 60:
            log.seal(now_ms())
    before = read(log)
    sought = Sought("card-77")
    assert erase_in_log(log.directory, sought, now_ms=now_ms()) == 2
    kept = [each for each in before if numbers([each]) != [1000]]
    with closing(SourceLog(log.directory, "payments")) as other:
        assert read(other) == kept
        assert {epoch.format for epoch in other.epochs()} == {"numbered"}
        for epoch in other.epochs():
            other.verify(epoch.epoch)
    assert sum(first_kept(place)) == len(before)
    assert erase_in_log(log.directory, sought, now_ms=now_ms()) == 0
    send(log, range(100, 105), spread)
    assert read(log)[: len(kept)] == kept
    assert len(read(log)) == len(kept) + 5


def test_the_log_of_a_backup_leaves_the_topic_alone(tmp_path, log, place):
    log.append([b'{"n":1,"card":"card-77"}'], now_ms=0)
    log.seal(now_ms())
    copy = tmp_path / "copy"
    shutil.copytree(log.directory, copy)
    send(log, range(5))
    assert erase_in_log(copy, Sought("card-77"), now_ms=now_ms(), is_copy=True) == 0
    assert len(read(log)) == 6


def test_epochs_that_are_swept_leave_the_topic_too(log, place):
    for start in range(0, 60, 20):
        send(log, range(start, start + 20), spread)
        log.seal(now_ms())
    after = read(log)[40:]
    remove_epochs(log.directory, ["2"])  # the first is held: nothing behind it can go
    assert first_kept(place) == (0, 0, 0)
    remove_epochs(log.directory, ["1"])
    assert sum(first_kept(place)) == 40
    with closing(SourceLog(log.directory, "payments")) as other:
        assert read(other) == after


def test_a_topic_that_would_lose_events_is_refused(broker):
    declared = {"retention.ms": "1000", "cleanup.policy": "compact"}
    place = KafkaPlace(bootstrap=broker.bootstrap, topic="losing")
    admin = new_admin(place)
    admin.create_topics([library(ADMIN).NewTopic("losing", 1, 1, config=declared)])[
        "losing"
    ].result(60)
    with pytest.raises(ConfigurationError, match="would lose") as error:
        ensure_topic(place, n_partitions=1, n_replicas=1)
    assert "retention.ms=1000" in error.value.found
    assert "cleanup.policy=compact" in error.value.found
    other = place.model_copy(update={"topic": "too-many"})
    with pytest.raises(ConfigurationError, match="3 replicas"):
        ensure_topic(other, n_partitions=1, n_replicas=3)


def drawn_payments(seed, n=150):
    """Payments of five cards, some of them twice and some with a broken contract."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        at_ms = NOW_MS - draw.randrange(2 * 3_600_000)
        row = payment(f"p{number}", at_ms, card_id=draw.choice(CARDS))
        rows.append(row | {"amount_minor": draw.choice([1, 7, 500, -3])})
        if draw.random() < 0.2:
            rows.append(rows[draw.randrange(len(rows))])
    return [rows[at : at + 10] for at in range(0, len(rows), 10)]


def lines_of(rows):
    return [json.dumps(row).encode() for row in rows]


@pytest.mark.parametrize("seed", range(2))
def test_the_folder_makes_the_same_values_of_both_logs_whatever_dies(tmp_path, place, seed):
    """Folders that die before or after a write, new connections, seals: no event twice or never."""
    draw = random.Random(seed)
    files, kafka = (World(tmp_path / name, batch_events=7) for name in ("files", "kafka"))
    kafka.log.move_to(place, now_ms=now_ms())
    kafka.store = CrashingStore()
    kafka.restarted()
    for rows in drawn_payments(seed):
        files.append(*rows)
        kafka.log.append(lines_of(rows), keys=[r["card_id"].encode() for r in rows], now_ms=0)
        if draw.random() < 0.3:
            files.log.seal(now_ms())
            kafka.log.seal(now_ms())
        kafka.store.crash_in, kafka.store.is_after = draw.randrange(9), draw.random() < 0.5
        try:
            kafka.fold_all()
        except DependencyError:
            kafka.log.close()
            kafka.log = SourceLog(tmp_path / "kafka", "payments")
            kafka.store.crash_in = -1
            kafka.restarted()
    files.fold_all()
    kafka.fold_all()
    for card in CARDS:
        assert kafka.reading(card).values == files.reading(card).values
        assert kafka.count(card)
    assert kafka.watermark().available_ms == files.watermark().available_ms
    kafka.log.close()


def test_a_backlog_is_not_called_fresh_before_all_of_it_is_folded(tmp_path, place):
    world = World(tmp_path, batch_events=7)
    world.log.move_to(place, now_ms=now_ms())
    rows = [row for rows in drawn_payments(0) for row in rows]
    world.log.append(lines_of(rows), keys=[r["card_id"].encode() for r in rows], now_ms=0)
    world.restarted()
    world.folder.step()
    assert world.watermark().available_ms < world.clock.now_ms()
    world.fold_all()
    world.folder.beat(every_ms=0)
    assert world.watermark().available_ms == world.clock.now_ms()
    world.log.close()


def test_ingest_reads_the_same_rows_of_both_logs(tmp_path, place):
    """But for where they stand and when they came; whole epochs, and partition by partition."""
    files, kafka = SourceLog(tmp_path / "files", "payments"), over(tmp_path / "kafka", place)
    for rows in drawn_payments(9):
        for log in (files, kafka):
            log.append(lines_of(rows), keys=[r["card_id"].encode() for r in rows], now_ms=NOW_MS)
    for log in (files, kafka):
        log.seal(NOW_MS)
    parts = [LogSlice(1, partition=n) for n in range(3)]
    expected = rows_of(files, [LogSlice(1)])
    assert rows_of(kafka, [LogSlice(1)]) == expected
    assert rows_of(kafka, parts) == expected
    assert sum(row["code"] is not None for row in expected) > 0
    raws = [r for part in parts for b in reader_of(kafka).read_raw(part) for r in b.to_pylist()]
    assert {offset_of(position(1, raw["offset"])) for raw in raws} == set(range(len(expected)))
    kafka.close()


def reader_of(log):
    return SliceReader(PAYMENTS, log.directory, tuple(log.epochs()), NOW_MS, CrashPoints.of(None))


def rows_of(log, parts):
    """Rows as ingest would judge them, in an order of their own."""
    differing = {"ingested_at", "available_at", "position", "offset"}
    batches = [batch for part in parts for batch in reader_of(log).read(part)]
    rows = [row for batch in batches for row in batch.to_pylist()]
    for row in rows:
        if row["code"] is not None:
            row["event_date"] = None  # a refused row is filed under the day it came
    kept = [{k: v for k, v in row.items() if k not in differing} for row in rows]
    return sorted(kept, key=repr)


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "home").create()
    serve(layout, shelve(layout), counter=1)
    return layout


def test_events_of_two_replicas_are_served_once_whatever_is_killed(broker, layout):
    """The folder and the broker die by kill -9; senders repeat what was not answered."""
    kafka = {"KAFKA__BOOTSTRAP": broker.bootstrap, "KAFKA__REPLICAS": 1, "KAFKA__PARTITIONS": 3}
    given = {f"THROUGHLINE_{name}": str(value) for name, value in kafka.items()}
    settings = read_settings({"THROUGHLINE_HOME": str(layout.root), **given})
    other = LogAppenders(settings, SystemClock(), None, machine="another").of("payments")
    log = SourceLog(layout.log_dir("payments"), "payments")
    with service(layout, **kafka) as started:
        with folder(layout) as folding:
            assert all("position" not in sent(started.url, n) for n in range(5))
            lines = [Line(json.dumps(paid(n)).encode(), b"c1") for n in range(5, 10)]
            assert asyncio.run(other.append(lines)) == [UNPLACED] * 5
            folding.wait_until(lambda: counted(started.url) == 10)
            before = read(log)
            folding.kill()
        broker.kill()
        refused = httpx.post(f"{started.url}/v1/events/payments", json=paid(10), timeout=PATIENCE_S)
        assert (refused.status_code, refused.json()["code"]) == (503, "kafka_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        broker.start()
        for n in range(5, 15):
            sent(started.url, n)
        with closing(open_online_store(settings.online)) as store:
            another = Folder(layout, store, SystemClock(), settings, print, FolderMetrics())
            until_s = time.monotonic() + PATIENCE_S
            while counted(started.url) < 15:
                again(another.turn)
                assert time.monotonic() < until_s
            again(another.turn)
            assert counted(started.url) == 15
    with closing(log):
        found = again(lambda: read(log))
        assert found[:10] == before
        assert {raw["event_id"] for raw in raws(found)} == {f"p{n}" for n in range(15)}


def paid(n):
    return payment(f"p{n}", START_MS)


def sent(url, n):
    """What became of an event, sent until it was taken."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        answer = httpx.post(f"{url}/v1/events/payments", json=paid(n), timeout=PATIENCE_S)
        if answer.status_code == 200:
            return answer.json()["results"][0]
        assert answer.status_code == 503
        assert time.monotonic() < until_s
        time.sleep(0.1)


def counted(url):
    """How many payments of the last day the model is given."""
    request = {**REQUEST, "entities": {"card_id": "c1", "terminal_id": "t1"}}
    record_id = httpx.post(f"{url}/v1/toy/predictions", json=request).json()["prediction_id"]
    record = httpx.get(f"{url}/v1/predictions/{record_id}").json()
    return record["features"]["card_activity_v1"]["values"]["amount_minor_count_1d"]
