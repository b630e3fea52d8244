"""The sensor that holds MLflow's aliases to the channels: what it says and what it asks for."""

import dagster as dg
import pytest
from bundles import serve

from orchestration import mirror
from orchestration.code_location import declared_by
from orchestration.environments import platform_of
from orchestration.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, environment="test")


@pytest.fixture
def aliases(monkeypatch):
    """What the registry says; a test changes it."""
    held: dict[str, dict[str, int]] = {}
    monkeypatch.setattr(mirror, "aliased_releases", lambda _, use_case: held.get(use_case, {}))
    return held


def tick(settings, cursor=None):
    declared = declared_by(settings)
    sensor = mirror.mirror_sensor(declared, mirror.mirror_job(declared))
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"platform": platform_of(settings)}
        )
        return sensor.evaluate_tick(context)


def test_before_anything_is_served_there_is_nothing_to_mirror(settings):
    result = tick(settings)
    assert not result.run_requests
    assert result.skip_message == "nothing is served yet, so that there is nothing to mirror"


def test_aliases_as_they_should_be_are_left_alone(settings, aliases):
    serve(settings.layout, 3, counter=1, use_case="fraud")
    aliases["fraud"] = {"champion": 3}
    result = tick(settings)
    assert not result.run_requests
    assert result.skip_message == "every alias of the registry says what channels.json says"


def test_an_alias_that_was_moved_is_put_back_each_time_under_a_key_of_its_own(settings, aliases):
    serve(settings.layout, 3, counter=1, use_case="fraud")
    aliases["fraud"] = {"champion": 2}
    first = tick(settings)
    second = tick(settings, first.cursor)
    keys = [request.run_key for found in (first, second) for request in found.run_requests]
    assert keys == ["mirror:1:0", "mirror:1:1"]
    (request,) = first.run_requests
    assert request.tags["throughline/why"] == "fraud champion: served 3, alias 2"
