"""Landed files and archived bundles go to the cold tier with the sweep, and end there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bundles import CARD_STATES, TOY_PLAN, shelve
from payments import PAYMENTS, VERDICTS
from platforms import platform_at
from training_sets import small_use_case

from assets.declared import Declared
from assets.retention import Sweep, report_text
from assets.retention_pieces import Inventory
from core.clock import DAY_MS, event_date
from core.errors import NotReadyError
from stores.holds import Holds
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.shelf.archives import Archived, archive, restore
from stores.shelf.bundle import MANIFEST, load_bundle
from stores.shelf.shelf import Shelf
from stores.sweeping import NEVER_LANDED

NOW_MS = 400 * DAY_MS
SOURCE = PAYMENTS.model_copy(update={"raw_retention_days": 200, "raw_cold_after_days": 30})
USE_CASE = small_use_case().model_copy(
    update={
        "name": "toy",
        "sources": (SOURCE, VERDICTS, CARD_STATES),
        "bundle_retention_days": 300,
        "bundle_cold_after_days": 5,
    }
)
DECLARED = Declared({"toy": USE_CASE}, {"toy": TOY_PLAN})
AGES = {"old.csv": 90, "young.csv": 3, "lost.csv": 90}


@pytest.fixture
def platform(tmp_path):
    """Three landed files of which one was lost on the way, three releases, the first archived."""
    layout = Layout(tmp_path / "home").create()
    folder = layout.landing_dir("payments")
    folder.mkdir(parents=True)
    log = SourceLog(layout.log_dir("payments"), "payments")
    for name, age in AGES.items():
        (folder / name).write_text(f"event_id\n{name}\n")
        if name != "lost.csv":
            log.land(folder / name, now_ms=NOW_MS - age * DAY_MS)
        aged(folder / name, age)
    for _ in range(3):
        aged(Shelf(layout.shelf).bundle("toy", shelve(layout)) / MANIFEST, 50)
    at_ms = NOW_MS - 10 * DAY_MS
    archive(
        Shelf(layout.shelf), Archived(use_case="toy", release=1, who="a", because="b", at_ms=at_ms)
    )
    (tmp_path / "cold").mkdir()
    return platform_at(
        layout.root,
        NOW_MS,
        online_url=layout.online_url,
        tracking_uri=layout.mlflow_uri,
        cold_uri=str(tmp_path / "cold"),
    )


def aged(path, days):
    os.utime(path, ns=(0, (NOW_MS - days * DAY_MS) * 1_000_000))


def sweep_at(platform, days_later=0):
    """A sweep over the two targets that are of interest here."""
    now_ms = NOW_MS + days_later * DAY_MS
    kept = Inventory(DECLARED, platform, now_ms).kept()
    return Sweep(
        platform, [k for k in kept if k.target in ("landing/payments", "bundles/toy")], now_ms
    )


def swept(platform, days_later=0):
    sweep = sweep_at(platform, days_later)
    failed = sweep.remove(sweep.plans())
    return failed, {plan.target: plan for plan in sweep_at(platform, days_later).plans()}


def test_a_report_says_what_would_move_how_much_why_and_when_next(platform):
    landing, bundles = sweep_at(platform).plans()
    size = len("event_id\nold.csv\n")
    assert (landing.moving, landing.moving_bytes) == (("old.csv",), size)
    assert (landing.moving_why, bundles.moving_why) == ("landed 30 days ago", "archived 5 days ago")
    assert landing.next_move_ms == NOW_MS + 27 * DAY_MS
    assert (bundles.moving, bundles.n_cold, bundles.next_move_ms) == (("1",), 0, None)
    text = report_text([landing, bundles])
    assert f"| 1, {size} bytes: landed 30 days ago | {event_date(NOW_MS + 27 * DAY_MS)} |" in text
    assert list(Path(platform.cold_uri).iterdir()) == []
    unset = platform.model_copy(update={"cold_uri": ""})
    assert [plan.moving for plan in sweep_at(unset).plans()] == [(), ()]


def test_a_sweep_moves_what_was_landed_and_what_is_archived(platform):
    layout, shelf = platform.layout, Shelf(platform.layout.shelf)
    failed, plans = swept(platform)
    assert failed == {}
    names = sorted(path.name for path in layout.landing_dir("payments").iterdir())
    assert names == ["lost.csv", "young.csv"]
    assert [path.name for path in shelf.bundle("toy", 1).iterdir()] == [MANIFEST]
    assert shelf.releases("toy") == (1, 2, 3)
    with pytest.raises(NotReadyError, match="throughline retention bring"):
        load_bundle(shelf.bundle("toy", 1))
    assert [(p.moving, p.n_cold) for p in plans.values()] == [((), 1), ((), 1)]
    (paper,) = platform.cold.papers("bundles/toy")
    platform.cold.bring(paper.paper_id, now_ms=NOW_MS)
    assert load_bundle(shelf.bundle("toy", 1)).manifest.release == 1
    assert swept(platform)[1]["bundles/toy"].moving == ()  # it was lent, and stays its days


def test_a_release_that_was_restored_while_the_sweep_was_at_work_stays(platform):
    sweep, shelf = sweep_at(platform), Shelf(platform.layout.shelf)
    plans = sweep.plans()
    restore(shelf, "toy", 1, who="ann", why="needed", at_ms=NOW_MS)
    assert sweep.remove(plans) == {}
    assert load_bundle(shelf.bundle("toy", 1)).manifest.release == 1


def test_a_period_ends_in_the_cold_tier_but_for_what_is_held(platform):
    holds = Holds(platform.layout)
    until_ms = NOW_MS + 10_000 * DAY_MS
    hold = holds.place("landing/*", who="Lee", why="case 7", now_ms=0, until_ms=until_ms)
    swept(platform)
    _, plans = swept(platform, days_later=260)
    assert plans["landing/payments"].n_cold == 2  # held, and moved all the same
    assert plans["landing/payments"].kept[hold.words] == 3
    assert plans["bundles/toy"].n_cold == 0
    assert Shelf(platform.layout.shelf).releases("toy") == (3,)
    holds.lift(hold.hold_id, who="Lee", why="over", now_ms=1)
    _, plans = swept(platform, days_later=260)
    assert plans["landing/payments"].kept == {NEVER_LANDED: 1}
    assert [path for path in Path(platform.cold_uri).rglob("*") if path.is_file()] == []
    assert platform.cold.papers() == []


def test_what_cannot_be_moved_stays_and_is_said(platform):
    Path(platform.cold_uri).rmdir()
    failed, plans = swept(platform)
    assert set(failed) == {"landing/payments", "bundles/toy"}
    assert "no folder at" in failed["bundles/toy"]
    assert [plan.moving for plan in plans.values()] == [("old.csv",), ("1",)]
    assert load_bundle(Shelf(platform.layout.shelf).bundle("toy", 1)).manifest.release == 1
