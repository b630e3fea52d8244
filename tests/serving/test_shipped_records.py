"""A real service ships its records while it runs, when it ends, and after it was killed."""

import time

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import service

from stores.layout import Layout
from stores.records import parse_record_id, record_in
from stores.segments import open_segments

pytestmark = pytest.mark.slow

PROMISED_S = 10.0


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "home", lake=str(tmp_path / "lake")).create()
    serve(layout, shelve(layout), counter=1)
    return layout


def predict(url):
    answer = httpx.post(f"{url}/v1/toy/predictions", json=REQUEST, timeout=10)
    return answer.json()["prediction_id"]


def is_shared(layout, record_id):
    where = parse_record_id(record_id)
    store = open_segments(layout.segments("toy"))
    if where.segment_name not in {segment.name for segment in store.waiting()}:
        return False
    return b'"toy"' in record_in(store.read(where.segment_name), where.offset)


def test_a_record_is_in_shared_storage_within_ten_seconds_of_its_answer(layout):
    with service(layout, LAKE_URI=layout.lake, ENVIRONMENT="test") as running:
        record_id = predict(running.url)
        answered_s = time.monotonic()
        running.wait_until(lambda: is_shared(layout, record_id), within_s=2 * PROMISED_S)
        assert time.monotonic() - answered_s < PROMISED_S
        record = httpx.get(f"{running.url}/v1/predictions/{record_id}", timeout=10)
        assert record.json()["prediction_id"] == record_id


def test_a_service_that_ends_ships_what_it_has(layout):
    with service(layout, LAKE_URI=layout.lake, ENVIRONMENT="test") as running:
        record_id = predict(running.url)
    assert is_shared(layout, record_id)


def test_a_killed_service_s_records_are_shipped_by_the_next(layout):
    with service(layout, LAKE_URI=layout.lake, ENVIRONMENT="test") as killed:
        record_id = predict(killed.url)
        killed.kill()
    assert not is_shared(layout, record_id)
    with service(layout, LAKE_URI=layout.lake, ENVIRONMENT="test") as following:
        following.wait_until(lambda: is_shared(layout, record_id), within_s=PROMISED_S)
