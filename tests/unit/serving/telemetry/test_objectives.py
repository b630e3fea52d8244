"""Objectives as a worker counts them: what misses one, what counts for nobody, what is exported."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bundles import manifest_of
from prometheus_client import CollectorRegistry

from core.clock import DAY_MS, FixedClock, event_date
from core.monitoring.objectives import Measured, Objectives
from serving.models.releases import LoadedRelease, Served
from serving.telemetry.objective_files import ObjectiveFiles
from serving.telemetry.objectives import Meters
from stores.layout import Layout
from stores.monitoring.measured import FOLDER, measured_until
from stores.shelf.channels import ChannelState

P99_MS = 40.0
NOW_MS = 1_000 * DAY_MS - 1


def served(objectives=None, release=1):
    unasked: Any = None
    manifest = manifest_of(release, objectives=objectives)
    loaded = LoadedRelease(manifest, "", "", unasked, unasked, unasked, unasked)
    return Served(ChannelState(champion=release), loaded)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def meters(registry):
    meters = Meters(registry)
    meters.serving({"toy": served(Objectives(p99_ms=P99_MS, availability_share=0.99))})
    return meters


def asked(meters, *requests, is_one=True):
    meter = meters.of("toy")
    for seconds, status, *code in requests:
        meter.asked(seconds, status, *(code or [""]), is_one=is_one)


def exported(registry, objective, outcome):
    labels = {"use_case": "toy", "objective": objective, "outcome": outcome}
    return registry.get_sample_value("throughline_objective_requests_total", labels)


def test_what_is_promised_is_exported_by_its_champion_s_manifest(meters, registry):
    labels = {"use_case": "toy"}
    assert registry.get_sample_value("throughline_objective_p99_seconds", labels) == 0.04
    ratio = "throughline_objective_availability_ratio"
    assert registry.get_sample_value(ratio, labels) == 0.99
    meters.serving({"toy": served(release=2)})  # from before objectives were written
    assert registry.get_sample_value("throughline_objective_p99_seconds", labels) == 0.1
    meters.serving({})
    assert registry.get_sample_value(ratio, labels) is None


def test_a_use_case_that_is_served_has_all_its_series_before_anybody_asks(meters, registry):
    for objective in ("p99", "availability"):
        assert [exported(registry, objective, outcome) for outcome in ("kept", "missed")] == [0, 0]


def test_slow_answers_miss_one_objective_and_none_the_other(meters, registry):
    asked(meters, (0.01, 200), (0.04, 200), (0.041, 200), (0.5, 503, "dependency"))
    assert [exported(registry, "p99", each) for each in ("kept", "missed")] == [2, 1]
    assert [exported(registry, "availability", each) for each in ("kept", "missed")] == [3, 1]
    name, labels = "throughline_prediction_seconds", {"use_case": "toy"}
    for bound, n in (("0.0334898", 1), ("0.0482253", 3), ("0.1", 3), ("+Inf", 3)):
        assert registry.get_sample_value(f"{name}_bucket", labels | {"le": bound}) == n
    assert registry.get_sample_value(f"{name}_sum", labels) == pytest.approx(0.091)


def test_of_lists_no_time_is_promised(meters, registry):
    asked(meters, (3.0, 200), (3.0, 500, "internal"), is_one=False)
    assert [exported(registry, "p99", each) for each in ("kept", "missed")] == [0, 0]
    assert [exported(registry, "availability", each) for each in ("kept", "missed")] == [1, 1]


@pytest.mark.parametrize(
    ("seconds", "status", "code"),
    [
        (0.01, 422, "contract"),
        (0.01, 401, "no_key"),
        (0.01, 429, "rate_limited"),
        (0.01, 503, "late"),  # who gives less time than is promised
    ],
)
def test_what_a_caller_did_wrong_counts_for_nobody(meters, seconds, status, code):
    asked(meters, (seconds, status, code))
    assert meters.measured()["toy"] == Measured()


def test_who_gave_as_long_as_is_promised_and_was_late_was_failed(meters):
    asked(meters, (0.04, 503, "late"))
    assert meters.measured()["toy"] == Measured(n_asked=1, n_failed=1)


@pytest.mark.parametrize("tail", [b"predictions HTTP/1.1", b"predictions:batch HTTP/1.1",
                                  b"predictions?x=1 HTTP/1.1"])  # fmt: skip
def test_who_is_sent_away_at_the_door_was_failed(meters, tail):
    meters.sent_away(b"POST /v1/toy/" + tail + b"\r\n")
    assert meters.measured()["toy"] == Measured(n_asked=1, n_failed=1)


@pytest.mark.parametrize("head", [b"POST /v1/other/predictions HTTP/1.1", b"", b"\xff",
                                  b"POST /v2/models/toy/infer HTTP/1.1"])  # fmt: skip
def test_what_no_use_case_is_asked_makes_no_series(meters, head):
    meters.sent_away(head)
    assert meters.of("other") is None
    assert meters.measured() == {"toy": Measured()}


def test_counts_are_left_by_date_and_what_came_before_midnight_is_the_former_s(meters, tmp_path):
    async def run():
        clock, layout = FixedClock(NOW_MS), Layout(tmp_path)
        files = ObjectiveFiles(meters, layout, "me", clock, print)
        await files.leave()
        assert not (layout.state / FOLDER).exists()  # nothing was asked
        asked(meters, (0.01, 200))
        clock.advance(1)
        await files.leave()
        asked(meters, (0.05, 200), (0.01, 500, "internal"))
        await files.leave()
        folders = {path.name: path for path in (layout.state / FOLDER).iterdir()}
        assert sorted(folders) == [event_date(NOW_MS), event_date(clock.now_ms())]
        found = measured_until(layout, NOW_MS)["toy"]
        assert (found.n_asked, found.n_late) == (1, 0)
        both = measured_until(layout, clock.now_ms())["toy"]
        assert (both.n_asked, both.n_late, both.n_failed) == (3, 1, 1)

    asyncio.run(run())


def test_a_disk_that_takes_nothing_is_said_once_and_nothing_is_lost(meters, tmp_path):
    async def run():
        said: list[str] = []
        layout = Layout(tmp_path)
        layout.state.parent.mkdir(parents=True, exist_ok=True)
        layout.state.write_text("in the way")
        files = ObjectiveFiles(meters, layout, "me", FixedClock(NOW_MS), said.append)
        asked(meters, (0.01, 200))
        await files.leave()
        await files.leave()
        assert len(said) == 1
        assert "objectives cannot be written: Not a directory" in said[0]
        layout.state.unlink()
        await files.leave()
        assert measured_until(layout, NOW_MS)["toy"].n_asked == 1

    asyncio.run(run())
