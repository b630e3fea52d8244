"""A word posted to a real service is followed by the next answers, after a restart, too."""

from __future__ import annotations

from functools import partial

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import folder, service
from wishes import asking

from core.clock import SystemClock
from stores.layout import Layout

pytestmark = pytest.mark.slow

NOW = SystemClock().now_ms


def word(event_id, *, is_out):
    return {"event_id": event_id, "event_timestamp": NOW(), "card_id": "c1", "is_out": is_out}


def test_a_word_is_followed_taken_back_and_kept_over_a_restart(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout, **asking("by_rules")), counter=1)

    def withheld():
        answer = client.post("/v1/toy/predictions", json=REQUEST).json()
        return answer["features"]["card_activity_v1"]["status"] == "withheld"

    def follows(is_out):
        return withheld() is is_out

    with folder(layout) as folding:
        with service(layout) as started, httpx.Client(base_url=started.url, timeout=60) as client:
            assert not withheld()
            for name, is_out in (("w1", True), ("w2", False), ("w3", True)):
                taken = client.post("/v1/events/wishes", json=word(name, is_out=is_out))
                assert taken.json()["accepted"] == 1
                folding.wait_until(partial(follows, is_out))
            answer = client.post("/v1/toy/predictions", json=REQUEST).json()
            assert answer["score"] is None
            assert "opted out" in answer["degraded"]["because"]
            path = f"/v1/predictions/{answer['prediction_id']}"
            assert client.get(f"{path}/replay").json()["is_equal"]
            assert "wishes" in client.get("/readyz").json()["sources"]
        with service(layout) as started, httpx.Client(base_url=started.url, timeout=60) as client:
            assert withheld()
