"""Limits of freshness on real processes: a folder dies, values grow old, answers say so."""

from __future__ import annotations

import time
from itertools import groupby
from typing import Any

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from ladders import DEGRADATION, VIEWS, laddered
from online_processes import folder, service

from core.degradation import Freshness
from stores.layout import Layout

pytestmark = pytest.mark.slow

# Seconds apart, so that a machine that others keep busy is asked at every age.
FRESH_S, USABLE_S = 2.0, 6.0
WITHIN_S, LOOK_EVERY_S = 60.0, 0.05
HASTY = DEGRADATION.model_copy(
    update={
        "freshness": tuple(
            Freshness(view=view, fresh_s=FRESH_S, usable_s=USABLE_S) for view in VIEWS
        )
    }
)


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout, **laddered(degradation=HASTY)), counter=1)
    return layout


def answers_until(client, level):
    """Every answer up to the first at ``level``; None is whole."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + WITHIN_S
    while not found or level_of(found[-1]) != level:
        assert time.monotonic() < deadline, f"never at {level}: {found[-1:]}"
        answer = client.post("/v1/toy/predictions", json=REQUEST)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        time.sleep(LOOK_EVERY_S)
    return found


def level_of(answer):
    return (answer["degraded"] or {}).get("level")


def statuses(answer):
    return {each["status"] for each in answer["features"].values()}


def test_values_grow_stale_then_too_old_when_the_folder_dies_and_whole_when_it_is_back(layout):
    with service(layout) as started, httpx.Client(base_url=started.url, timeout=60) as client:
        with folder(layout) as folding:
            whole = answers_until(client, None)[-1]
            folding.kill()
            seen = answers_until(client, "fallback")
        levels = [level for level, _ in groupby(seen, key=level_of)]
        assert levels[levels[0] is None :] == ["stale", "fallback"]
        stale = next(answer for answer in seen if level_of(answer) == "stale")
        assert stale["score"] == whole["score"]  # with those values
        assert "expired" not in statuses(stale)
        assert statuses(seen[-1]) == {"expired"}
        assert seen[-1]["score"] != whole["score"]
        record = client.get(f"/v1/predictions/{seen[-1]['prediction_id']}").json()
        assert record["degraded"] == seen[-1]["degraded"]
        with folder(layout):
            assert answers_until(client, None)[-1]["score"] == whole["score"]
