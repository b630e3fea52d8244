"""The archive: what is stale, and what is said where something archived serves all the same."""

import pytest
from bundles import serve, shelve
from payments import NOW_MS
from platforms import platform_at

from assets.archive import none_serves, stale_now
from assets.declared import Declared
from core.clock import DAY_MS
from stores.layout import Layout
from stores.shelf.shelf import Shelf
from use_cases.fraud.use_case import USE_CASE

DECLARED = Declared(use_cases={"fraud": USE_CASE}, plans={})


@pytest.fixture
def platform(tmp_path):
    """A home with four releases, the second of which serves."""
    layout = Layout(tmp_path).create()
    for _ in range(4):
        shelve(layout, use_case="fraud")
    serve(layout, 2, counter=1, use_case="fraud")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    return platform_at(tmp_path, NOW_MS, tracking_uri=uri)


def at(platform, days):
    return platform.model_copy(update={"at_ms": NOW_MS + days * DAY_MS})


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
