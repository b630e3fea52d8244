"""The sensor that holds MLflow's aliases to the channels: what it says and what it asks for."""

from functools import cache
from pathlib import Path

import dagster as dg
import pytest
from bundles import serve

from orchestration import mirror
from orchestration.code_location import declared_by
from orchestration.environments import platform_of
from orchestration.settings import Settings
from stores.audit.log import AuditLog


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, environment="test")


@pytest.fixture
def aliases(monkeypatch):
    """What the registry says; a test changes it."""
    held: dict[str, dict[str, int]] = {}
    monkeypatch.setattr(mirror, "aliased_releases", lambda _, use_case: held.get(use_case, {}))
    return held


@cache
def declared():
    return declared_by(Settings(home=Path("nowhere"), environment="test"), is_kept=False)


def tick(settings, cursor=None):
    sensor = mirror.mirror_sensor(declared(), mirror.mirror_job(declared()))
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


def test_an_alias_that_somebody_set_where_nothing_is_served_is_taken_away(settings, aliases):
    aliases["fraud"] = {"champion": 2}
    (request,) = tick(settings).run_requests
    assert request.tags["throughline/why"] == "fraud champion: served None, alias 2"


def audited(settings):
    return AuditLog.of(settings.layout, is_signing=False).latest(9)


def set_aliases(settings, aliases, monkeypatch):
    """Run the job; the registry then says what it was told."""

    def told(_tracking, use_case, releases):
        aliases[use_case] = dict(releases)
        return [use_case]

    monkeypatch.setattr("training.tracking.mirror_channels", told)
    job = mirror.mirror_job(declared())
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(
            instance=instance, resources={"platform": platform_of(settings)}
        ).success


def test_what_was_moved_by_hand_is_audited_and_what_was_promoted_is_not(
    settings, aliases, monkeypatch
):
    serve(settings.layout, 3, counter=1, use_case="fraud")
    set_aliases(settings, aliases, monkeypatch)
    serve(settings.layout, 4, counter=2, use_case="fraud")
    set_aliases(settings, aliases, monkeypatch)
    assert aliases["fraud"] == {"champion": 4}
    assert audited(settings) == []
    aliases["fraud"] = {"champion": 2, "shadow": 1}
    set_aliases(settings, aliases, monkeypatch)
    assert aliases["fraud"] == {"champion": 4}
    assert [(r.what, r.about) for r in audited(settings)] == [
        (
            "alias_put_back",
            {"use_case": "fraud", "alias": alias, "moved_to": to, "served": served},
        )
        for alias, to, served in (("champion", 2, 4), ("shadow", 1, None))
    ]
    del aliases["fraud"]["champion"]
    set_aliases(settings, aliases, monkeypatch)
    assert audited(settings)[-1].about["moved_to"] is None
