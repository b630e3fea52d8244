import os

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from core.clock import FixedClock
from serving.telemetry.metrics import Telemetry
from serving.telemetry.worker_metrics import LIVING_MS, WorkerMetrics

NOW_MS = 1_767_225_600_000


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    # Importing Feast in this process sets them for every user of prometheus_client.
    monkeypatch.delenv("prometheus_multiproc_dir", raising=False)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


class Worker:
    def __init__(self, directory, name, *, n_workers=2):
        self.registry = CollectorRegistry()
        self.directory = directory
        self.counter = Counter("points_total", "Points.", ("kind",), registry=self.registry)
        self.times = Histogram("time_seconds", "Time.", buckets=(1.0,), registry=self.registry)
        self.metrics = WorkerMetrics(
            self.registry, directory, FixedClock(NOW_MS), worker=name, n_workers=n_workers
        )
        self.file = directory / f"{name}.json"

    def publish(self, age_ms=0):
        self.metrics.publish()
        at_s = (NOW_MS - age_ms) / 1_000
        os.utime(self.file, (at_s, at_s))

    def text(self):
        return Telemetry(CollectorRegistry()).exposition(self.metrics.families()).decode()


def points(text):
    return sorted(line for line in text.splitlines() if line.startswith("points_total{"))


def test_the_worker_that_is_asked_gives_the_others_too(tmp_path):
    first, second = Worker(tmp_path, "1"), Worker(tmp_path, "2")
    first.counter.labels("a").inc(3)
    second.counter.labels("a").inc(4)
    second.times.observe(0.5)
    second.publish()
    text = first.text()
    assert points(text) == [
        'points_total{kind="a",worker="1"} 3.0',
        'points_total{kind="a",worker="2"} 4.0',
    ]
    assert 'time_seconds_bucket{le="1.0",worker="2"} 1.0' in text
    assert text.count("# TYPE points_total counter") == 1


def test_its_own_counts_are_those_of_now_and_not_those_it_left(tmp_path):
    worker = Worker(tmp_path, "1")
    worker.publish()
    worker.counter.labels("a").inc()
    assert points(worker.text()) == ['points_total{kind="a",worker="1"} 1.0']


def test_no_count_goes_back_when_another_worker_is_asked_right_after(tmp_path):
    first, second = Worker(tmp_path, "1"), Worker(tmp_path, "2")
    first.publish()
    first.counter.labels("a").inc(3)
    told = points(first.text())
    assert points(second.text()) == told == ['points_total{kind="a",worker="1"} 3.0']


def test_a_worker_that_ended_takes_its_series_with_it(tmp_path):
    first, second = Worker(tmp_path, "1"), Worker(tmp_path, "2")
    second.counter.labels("a").inc()
    second.publish()
    assert len(points(first.text())) == 1
    second.metrics.close()
    assert points(first.text()) == []
    assert not second.file.exists()


def test_a_worker_that_was_killed_is_left_out_and_then_forgotten(tmp_path):
    first, second = Worker(tmp_path, "1"), Worker(tmp_path, "2")
    second.counter.labels("a").inc()
    second.publish(age_ms=LIVING_MS)
    assert points(first.text()) == []
    second.publish(age_ms=20 * LIVING_MS)
    first.publish()
    assert not second.file.exists()
    assert first.file.exists()


def test_a_file_that_is_no_metrics_costs_nothing(tmp_path):
    first = Worker(tmp_path, "1")
    first.counter.labels("a").inc()
    (tmp_path / "2.json").write_text("[[")
    os.utime(tmp_path / "2.json", (NOW_MS / 1_000, NOW_MS / 1_000))
    assert points(first.text()) == ['points_total{kind="a",worker="1"} 1.0']


def test_one_worker_leaves_nothing_and_has_no_label(tmp_path):
    alone = Worker(tmp_path / "metrics", "1", n_workers=1)
    alone.counter.labels("a").inc()
    alone.metrics.publish()
    assert not (tmp_path / "metrics").exists()
    assert points(alone.text()) == ['points_total{kind="a"} 1.0']
