"""Releases as pages: what is known of one, and what is said when it was changed."""

import json

import pytest
from bundles import bundle_files, serve, shelve
from compared_views import view_report
from console_home import Console

from serving.console.table import pages
from stores.layout import Layout
from stores.shelf.bundle import CARD
from stores.shelf.shelf import Shelf
from stores.view_reports import ViewReports

RUN = "0" * 31 + "1"
EVIL = "<script>alert(1)</script>"
CARD_TEXT = (
    f"# Model card: toy\n\nMade for {EVIL}.\n\n| metric | value |\n| --- | --- |\n| auc | 0.9 |\n"
)


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    files = {**bundle_files(), CARD: CARD_TEXT.encode()}
    shelve(
        layout,
        files=files,
        risk_tier="high",
        approvers=("ann",),
        mlflow_run_id=RUN,
        built_by="dora",
    )
    plots = layout.artifacts / RUN / "artifacts" / "plots"
    plots.mkdir(parents=True)
    (plots / "roc.png").write_bytes(b"\x89PNG roc")
    (plots / ".hidden.png").write_bytes(b"x")
    return layout


@pytest.fixture
def console(layout):
    return Console(layout)


def test_the_list_has_every_release_the_newest_first(console):
    reply = console.get("/releases")
    assert reply.links.index("/releases/toy/2") < reply.links.index("/releases/toy/1")
    assert "owner" in reply.words
    assert "champion" in reply.words
    assert "/releases/toy/1" not in console.get("/releases?use_case=other").links


def test_a_release_says_who_signed_who_is_missing_and_what_it_measured(console, layout):
    reply = console.get("/releases/toy/2")
    manifest = json.loads((Shelf(layout.shelf).bundle("toy", 2) / "manifest.json").read_bytes())
    assert "missing: owner" in reply.words
    assert "by dora" in reply.words
    assert "ann" in reply.words
    assert "0.61 is above the floor 0.3" in reply.words
    for name, estimate in manifest["metrics"].items():
        assert name.replace("_", " ") in reply.words
        assert f"{estimate['low']:.4f} to {estimate['high']:.4f}" in reply.words
    for name, digest in manifest["files"].items():
        assert name in reply.words
        assert digest in reply.words


def test_a_release_shows_its_views_beside_former_versions(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    console = Console(layout)
    assert "Versions of features" not in console.get("/releases/toy/1").words
    report = view_report()
    path = ViewReports(layout.view_reports).put(report)
    reply = console.get("/releases/toy/1")
    assert report.sentence() in reply.words
    assert "75.00 %" in reply.words
    path.write_text("{")
    assert "throughline views compare" in console.get("/releases/toy/1").words


def test_the_card_is_shown_and_nothing_in_it_becomes_markup(console):
    reply = console.get("/releases/toy/2")
    assert "Model card: toy" in reply.words
    assert "<td>auc</td>" in reply.text
    assert EVIL not in reply.text
    assert EVIL in reply.words


def test_pictures_are_those_of_the_run_and_nothing_else(console):
    reply = console.get("/releases/toy/2/pictures/roc.png")
    assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
    assert reply.text.endswith("PNG roc")
    for name in (".hidden.png", "none.png", "..%2F..%2Fsecret.png"):
        assert console.get(f"/releases/toy/2/pictures/{name}").status == 404
    assert "img" not in console.get("/releases/toy/1").tags


@pytest.mark.parametrize("path", ["/releases/toy/9", "/releases/toy/x", "/releases/nobody/1"])
def test_a_release_that_is_not_there_is_not_found(console, path):
    assert console.get(path).status in (404, 503)


def test_a_changed_release_is_shown_as_one(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    path = Shelf(layout.shelf).bundle("toy", 1) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"medium"', b'"low"'))
    reply = Console(layout).get("/releases/toy/1")
    assert reply.status == 200
    assert "signature broken" in reply.words
    assert "signature holds" not in reply.words


def test_what_only_shows_changes_nothing(console, layout):
    before = {path: path.stat().st_mtime_ns for path in layout.root.rglob("*") if path.is_file()}
    for page in pages():
        if page.method == "GET" and "{" not in page.path:
            assert console.get(page.path).status in (200, 303)
    after = {path: path.stat().st_mtime_ns for path in layout.root.rglob("*") if path.is_file()}
    assert after == before
