"""The archive: what is stale, and what is said where something archived serves all the same."""

import pytest
from bundles import serve, shelve
from payments import NOW_MS

from assets.archive import none_serves, stale_now
from assets.declared import Declared
from assets.resources import Platform
from core.clock import DAY_MS, FixedClock
from stores.layout import Layout
from stores.shelf import Shelf
from use_cases.fraud.use_case import USE_CASE

DECLARED = Declared(use_cases={"fraud": USE_CASE}, plans={})


class PlatformAt(Platform):
    at_ms: int = NOW_MS

    @property
    def clock(self):
        return FixedClock(self.at_ms)


@pytest.fixture
def platform(tmp_path):
    """A home with four releases, the second of which serves."""
    layout = Layout(tmp_path).create()
    for _ in range(4):
        shelve(layout, use_case="fraud")
    serve(layout, 2, counter=1, use_case="fraud")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    return PlatformAt(home=str(tmp_path), online_url="sqlite:///none", tracking_uri=uri)


def at(platform, days):
    return PlatformAt(
        home=platform.home, online_url=platform.online_url, tracking_uri=platform.tracking_uri,
        at_ms=NOW_MS + days * DAY_MS,
    )  # fmt: skip


def test_what_served_nobody_for_its_days_is_stale(platform):
    assert stale_now(at(platform, 89), USE_CASE) == {}
    assert list(stale_now(at(platform, 90), USE_CASE)) == [1, 3]


def test_an_archived_release_that_serves_is_told(platform):
    stale = at(platform, 400)
    assert none_serves(stale, DECLARED).passed
    paper = Shelf(platform.layout.shelf).release_folder("fraud", 2) / "archived.json"
    paper.write_text(
        '{"use_case": "fraud", "release": 2, "who": "x", "because": "by hand", "at_ms": 1}'
    )
    found = none_serves(stale, DECLARED)
    assert not found.passed
    assert found.description == "release 2 of fraud"
