"""When shipped records are taken: decided from what waits, asked for once, said in words."""

import dagster as dg
import pytest
from payments import NOW_MS
from platforms import platform_at
from recorded import ship, toy_record

from assets.declared import Declared
from orchestration.decisions import MANY_BYTES, Go, Patience, Skip, Waiting, predictions_decision
from orchestration.predictions import predictions_sensors, waiting_segments
from stores.layout import Layout
from use_cases import discover

PATIENCE = Patience(events=50_000, age_s=60)


def decided(segments=1, n_bytes=1_000, age_s=61.0, taken=4):
    waiting = Waiting(segments, n_bytes, NOW_MS - int(age_s * 1_000))
    return predictions_decision("fraud", waiting, taken=taken, patience=PATIENCE, now_ms=NOW_MS)


def test_nothing_waits_is_nothing_to_do():
    assert decided(segments=0) == Skip("fraud: no segment waits in shared storage")


def test_a_young_and_small_one_waits_and_the_limits_are_said():
    found = decided(age_s=59.0)
    assert isinstance(found, Skip)
    assert "1 segments wait, 1,000 bytes, the first for 59 s" in found.why
    assert "after 60 s" in found.why


@pytest.mark.parametrize(("n_bytes", "age_s"), [(1, 60.0), (MANY_BYTES, 0.0)])
def test_age_or_size_is_enough(n_bytes, age_s):
    assert isinstance(decided(n_bytes=n_bytes, age_s=age_s), Go)


def test_two_ticks_that_saw_the_same_ask_for_one_run_and_a_commit_makes_another():
    assert decided(segments=1).key == decided(segments=7).key
    assert decided(taken=4).key != decided(taken=5).key


@pytest.fixture
def platform(tmp_path):
    return platform_at(tmp_path, 2_000_000_000_000)


def tick(platform):
    @dg.op
    def nothing():
        pass

    @dg.job(name="take_predictions_fraud")
    def job():
        nothing()

    declared = Declared({"fraud": discover(())["fraud"]}, {})
    (sensor,) = predictions_sensors(declared, {"take_predictions_fraud": job}, PATIENCE)
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"platform": platform})
        return sensor(context)


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_the_sensor_asks_for_a_run_when_segments_wait(platform):
    assert isinstance(tick(platform), dg.SkipReason)
    ship(Layout(platform.layout.root), [[toy_record()], [toy_record()]], use_case="fraud")
    waiting = waiting_segments(platform, "fraud")
    assert waiting.segments == 2
    assert waiting.bytes > 0
    request = tick(platform)
    assert request.run_key == "fraud:predictions:1"
    assert "2 segments wait" in request.tags["throughline/why"]
