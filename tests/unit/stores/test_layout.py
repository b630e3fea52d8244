from __future__ import annotations

import inspect
import stat
from pathlib import Path

import pytest

from core.errors import InvalidInputError
from stores.layout import DEFAULT_ROOT, Layout

ROOT = Path("/srv/throughline")
TABLES = {
    "events": "lake/events/abc",
    "rejected": "lake/events/abc_rejected",
    "tiles": "lake/features/abc_tiles",
    "training": "lake/training/abc",
    "scores": "lake/scores/abc",
    "predictions": "lake/predictions/abc",
    "segments": "lake/segments/abc",
    "staging": "lake/staging/abc",
}
FOLDERS = {
    "log_dir": "log/abc",
    "landing_dir": "landing/abc",
    "records": "records/abc",
    "candidates": "state/candidates/abc",
}
PLACES = {
    "shelf": "shelf",
    "keys": "keys",
    "access": "access",
    "audit": "audit",
    "holds": "holds",
    "logs": "logs",
    "landing": "landing",
    "cold": "cold",
    "erasure": "erasure",
    "monitoring": "monitoring",
    "view_reports": "view_reports",
    "alerts": "alerts",
    "online_path": "online.sqlite",
    "shared_counts": "rollouts.sqlite",
    "artifacts": "mlflow",
    "dagster_home": "dagster",
    "plans": "plans",
    "state": "state",
    "snapshots": "state/snapshots",
    "scratch": "spark",
}


def test_every_path_is_listed_here():
    named = {name for name, _ in inspect.getmembers(Layout) if not name.startswith("_")}
    others = {"profiles", "mlflow_uri", "online_url", "create", "lake"}
    assert named == {*TABLES, *FOLDERS, *PLACES} | others


@pytest.mark.parametrize(("name", "expected"), TABLES.items())
def test_tables_are_uris_below_the_lake(name, expected):
    assert getattr(Layout(ROOT), name)("abc") == f"{ROOT}/{expected}"
    remote = getattr(Layout(ROOT, lake="s3://bucket/lake/"), name)("abc")
    assert remote == f"s3://bucket/{expected}"


def test_profiles_are_of_a_table_of_a_name():
    assert Layout(ROOT).profiles("scores", "abc").endswith("lake/monitoring/scores_abc_profiles")
    for table, name in (("../x", "abc"), ("scores", "../x")):
        with pytest.raises(InvalidInputError, match="cannot become part of a path"):
            Layout(ROOT).profiles(table, name)


@pytest.mark.parametrize(("name", "expected"), FOLDERS.items())
def test_folders_are_below_the_root(name, expected):
    assert getattr(Layout(ROOT, lake="s3://bucket"), name)("abc") == ROOT / expected


@pytest.mark.parametrize(("name", "expected"), PLACES.items())
def test_places_are_below_the_root(name, expected):
    assert getattr(Layout(ROOT), name) == ROOT / expected


def test_relative_root_gives_absolute_uris():
    assert Layout(DEFAULT_ROOT).events("abc").startswith("/")
    assert Layout(DEFAULT_ROOT).mlflow_uri.startswith("sqlite:////")


def test_the_embedded_online_store_is_found_from_its_address():
    assert Layout(ROOT).online_url == f"sqlite:///{Layout(ROOT).online_path}"


@pytest.mark.parametrize("name", [*TABLES, *FOLDERS])
@pytest.mark.parametrize("bad", ["", "..", "a/b", "../x", "A", "a-b", "1a", "a" * 81, "a\n", "é"])
def test_name_that_could_leave_the_root_is_refused(name, bad):
    with pytest.raises(InvalidInputError, match="cannot become part of a path"):
        getattr(Layout(ROOT), name)(bad)


def test_create_makes_folders_and_closes_the_keys(tmp_path):
    layout = Layout(tmp_path / "deep" / "state").create().create()
    assert layout.shelf.is_dir()
    assert stat.S_IMODE(layout.keys.stat().st_mode) == 0o700
