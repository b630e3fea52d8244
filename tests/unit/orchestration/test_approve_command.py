from __future__ import annotations

from functools import partial

import pytest
from bundles import shelve

from stores.audit.log import AuditLog
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.shelf.shelf import Shelf


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


@pytest.fixture
def approve(throughline, layout):
    return partial(throughline, layout.root, "approve", "toy")


def champion(layout):
    shelf = Shelf(layout.shelf)
    return shelf.board.read(KeyRing.from_directory(layout.keys)).state("toy").champion


def test_a_high_tier_is_served_after_the_second_person(approve, layout):
    shelve(layout, risk_tier="high", approvers=(), built_by="Carl")
    code, said = approve("1", "--who", "Ann", "--role", "risk")
    assert (code, champion(layout)) == (0, None)
    assert "still missing: owner, each of another person" in said
    assert "throughline approve toy 1 --role owner --who WHO" in said
    code, said = approve("1", "--who", "ANN", "--role", "owner")
    assert (code, champion(layout), "still missing: owner" in said) == (0, None, True)
    code, said = approve("1", "--who", "carl", "--role", "owner")
    assert (code, "who built release 1 of toy cannot approve it" in said) == (2, True)
    code, said = approve("1", "--who", "Bob", "--role", "owner", "--comment", "looked at slices")
    assert (code, champion(layout)) == (0, 1), said
    records = AuditLog.of(layout, is_signing=False).latest(9)
    assert [(r.what, r.who) for r in records] == [
        ("approved", "Ann"),
        ("approved", "ANN"),
        ("approved", "Bob"),
        ("promoted", "Bob"),
    ]
    assert records[2].why == "looked at slices"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--who", "Ann"), "found no --role; give one of risk, owner"),
        (("--who", "Ann", "--role", "chief"), "found chief; give one of risk, owner"),
        (("--who", "Ann", "--role", "risk", "--valid-days", "0"), "would never hold"),
    ],
)
def test_what_signs_nothing_off_is_refused(approve, layout, words, said):
    shelve(layout, risk_tier="high", approvers=())
    code, text = approve("1", *words)
    assert (code, said in text) == (2, True), text
    assert not (layout.shelf / "releases/toy/1/approvals").exists()


def test_nobody_approves_what_nobody_signed(approve, layout):
    shelve(layout, approvers=())
    (layout.shelf / "releases/toy/1/signatures.json").unlink()
    assert approve("1", "--who", "Ann")[0] == 4
    assert not (layout.shelf / "releases/toy/1/approvals").exists()
