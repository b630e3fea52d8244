"""A real service ships its records while it runs, when it ends, and after it was killed."""

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import service

from serving.settings import RecordSettings
from stores.layout import Layout
from stores.records.ids import parse_record_id
from stores.records.segments import record_in
from stores.records.shared import open_segments

pytestmark = pytest.mark.slow

PROMISED_S = 10.0


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "home", lake=str(tmp_path / "lake")).create()
    serve(layout, shelve(layout), counter=1)
    return layout


def predict(url):
    answer = httpx.post(f"{url}/v1/toy/predictions", json=REQUEST, timeout=60)
    return answer.json()["prediction_id"]


def is_shared(layout, record_id):
    where = parse_record_id(record_id)
    store = open_segments(layout.segments("toy"))
    if where.segment_name not in {segment.name for segment in store.waiting()}:
        return False
    return b'"toy"' in record_in(store.read(where.segment_name), where.offset)


def test_a_record_is_in_shared_storage_after_its_answer(layout):
    with service(layout, LAKE_URI=layout.lake, ENVIRONMENT="test") as running:
        record_id = predict(running.url)
        running.wait_until(lambda: is_shared(layout, record_id))
        record = httpx.get(f"{running.url}/v1/predictions/{record_id}", timeout=60)
        assert record.json()["prediction_id"] == record_id


def test_a_record_waits_no_longer_than_is_promised():
    """What it waits for by the clock; how long the work takes is for a quiet machine to say."""
    records = RecordSettings()
    assert records.seal_after_ms + records.ship_every_ms <= 0.75 * PROMISED_S * 1_000


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
        following.wait_until(lambda: is_shared(layout, record_id))
