from __future__ import annotations

import shutil
from functools import partial

import pytest
from bundles import shelve
from desks import Desk

from core.errors import IntegrityError
from stores.audit.log import AuditLog
from stores.keys.signing import MOUNTED
from stores.keys.signing_keys import current_keys
from stores.layout import Layout

SAID = ("--who", "Ada", "--why", "a laptop was lost")


@pytest.fixture
def desk(tmp_path):
    return Desk(Layout(tmp_path).create())


@pytest.fixture
def signing(throughline, desk):
    return partial(throughline, desk.layout.root, "signing")


def test_a_key_is_rotated_then_revoked_and_what_it_signed_is_not_served_again(signing, desk):
    first, second = shelve(desk.layout), shelve(desk.layout)
    desk.ask("promote", first)
    desk.ask("promote", second)
    code, said = signing("rotate", "release", *SAID)
    former = said.split()[5]
    assert code == 0, said
    assert desk.ask("rollback").is_accepted
    assert signing("revoke", former, *SAID)[0] == 0
    answer = desk.ask("promote", second)
    assert (answer.is_accepted, answer.code) == (False, "revoked_key")
    assert desk.state().champion == first
    assert desk.ask("promote", shelve(desk.layout)).is_accepted
    listed = signing("list")[1]
    assert [line.split()[-1] for line in listed.splitlines() if former in line] == ["revoked"]
    log = AuditLog.of(desk.layout, is_signing=False)
    records = log.latest(9, lambda record: record.what.startswith("signing_key"))
    assert [(r.what, r.who) for r in records] == [
        ("signing_key_rotation", "Ada"),
        ("signing_key_rotated", "Ada"),
        ("signing_key_revocation", "Ada"),
        ("signing_key_revoked", "Ada"),
    ]
    assert log.verify(desk.keys).is_whole


def test_the_controller_signs_the_channels_anew_so_the_old_key_can_be_revoked(signing, desk):
    desk.ask("promote", shelve(desk.layout))
    counter = desk.counter()
    former = signing("rotate", "channels", *SAID)[1].split()[5]
    desk.controller().sign()
    assert desk.shelf.board.signed_by() != former
    assert signing("revoke", former, *SAID)[0] == 0
    assert desk.counter() == counter
    assert desk.ask("promote", shelve(desk.layout)).is_accepted


def test_channels_of_a_revoked_key_move_nothing(signing, desk):
    desk.ask("promote", shelve(desk.layout))
    former = signing("rotate", "channels", *SAID)[1].split()[5]
    signing("revoke", former, *SAID)
    with pytest.raises(IntegrityError, match="revoked"):
        desk.counter()
    assert desk.ask("promote", shelve(desk.layout)).code == "revoked_key"


def test_what_cannot_be_done_is_said(signing):
    assert signing("list") == (0, "nothing was signed yet\n")
    assert signing("rotate", "release", *SAID)[0] == 2
    assert signing("revoke", "0" * 16, *SAID)[0] == 2


def test_what_is_refused_leaves_nothing_in_the_audit_log(signing, desk):
    desk.ask("promote", shelve(desk.layout))
    in_use = current_keys(desk.layout.keys)["release"]
    log = AuditLog.of(desk.layout, is_signing=False)
    before = log.latest(99, lambda _record: True)
    for key in ("0" * 16, in_use):
        assert signing("revoke", key, *SAID)[0] == 2
    mounted = desk.layout.keys / MOUNTED
    mounted.mkdir()
    for private in desk.layout.keys.glob("*.private.pem"):
        shutil.copy(private, mounted)
    code, said = signing("rotate", "release", *SAID)
    assert code == 2
    assert "secret store" in said
    assert log.latest(99, lambda _record: True) == before
