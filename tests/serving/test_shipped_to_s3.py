"""Records go to an object store while the service runs, wait while it is away, and come back."""

from __future__ import annotations

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import service
from s3_server import BUCKET, s3_server

from stores.layout import Layout
from stores.records.ids import parse_record_id
from stores.records.segments import SHIPPED, record_in
from stores.records.shared import open_segments

pytestmark = pytest.mark.slow
LAKE = f"s3://{BUCKET}/lake"


@pytest.fixture
def s3(tmp_path, monkeypatch):
    with s3_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "home", LAKE).create()
    serve(layout, shelve(layout), counter=1)
    return layout


def predict(url):
    return httpx.post(f"{url}/v1/toy/predictions", json=REQUEST, timeout=60).json()["prediction_id"]


def is_shared(layout, record_id):
    where = parse_record_id(record_id)
    store = open_segments(layout.segments("toy"))
    if where.segment_name not in {segment.name for segment in store.waiting()}:
        return False
    return b'"toy"' in record_in(store.read(where.segment_name), where.offset)


def waiting_s(running):
    text = httpx.get(f"{running.url}/metrics", timeout=60).text
    name = 'throughline_records_waiting_age_seconds{use_case="toy"} '
    return float(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


def test_a_record_is_in_the_bucket_after_its_answer(s3, layout):
    with service(layout, LAKE_URI=LAKE) as running:
        record_id = predict(running.url)
        running.wait_until(lambda: is_shared(layout, record_id))


def test_a_record_that_is_gone_here_is_read_from_the_bucket(s3, layout):
    with service(layout, LAKE_URI=LAKE) as running:
        record_id = predict(running.url)
        running.wait_until(lambda: is_shared(layout, record_id))
        segment = layout.records("toy") / SHIPPED / parse_record_id(record_id).segment_name
        running.wait_until(segment.exists)
        segment.unlink()
        found = httpx.get(f"{running.url}/v1/predictions/{record_id}", timeout=60)
        assert found.json()["prediction_id"] == record_id


def test_while_the_bucket_is_away_records_wait_and_answers_go_on(s3, layout):
    quick = {"RECORDS__SEAL_AFTER_MS": 200, "RECORDS__SHIP_EVERY_MS": 100}
    with service(layout, LAKE_URI=LAKE, **quick) as running:
        first = predict(running.url)
        running.wait_until(lambda: is_shared(layout, first))
        s3.stop()
        waiting = [predict(running.url) for _ in range(5)]
        running.wait_until(lambda: waiting_s(running) > 2)
        waiting.append(predict(running.url))
        s3.resume()
        running.wait_until(lambda: all(is_shared(layout, record_id) for record_id in waiting))
        running.wait_until(lambda: waiting_s(running) == 0)
