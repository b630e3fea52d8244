from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.errors import ConfigurationError, IntegrityError, InvalidInputError
from stores.keys.signing import MOUNTED, KeyRing, ensure_signer, load_signer, private_pem
from stores.keys.signing_keys import current_keys, revoke_key, rotated_signer

SAID: dict[str, Any] = {"who": "ada", "why": "for the test", "at_ms": 1}


def test_what_the_old_key_signed_holds_and_the_new_one_signs(tmp_path):
    old = ensure_signer(tmp_path, "release")
    new = rotated_signer(tmp_path, "release")
    assert ensure_signer(tmp_path, "release").key_id == new.key_id != old.key_id
    ring = KeyRing.from_directory(tmp_path)
    for signer in (old, new):
        ring.verify("release", b"x", signer.sign(b"x"))
    private = tmp_path / "release.private.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*.private.pem")] == [private.name]


def test_after_many_rotations_every_former_key_still_verifies(tmp_path):
    signatures = [ensure_signer(tmp_path, "audit").sign(b"x")]
    signatures += [rotated_signer(tmp_path, "audit").sign(b"x") for _ in range(4)]
    ring = KeyRing.from_directory(tmp_path)
    for signature in signatures:
        ring.verify("audit", b"x", signature)
    assert len({signature.key_id for signature in signatures}) == 5


def test_a_revoked_key_is_believed_no_more_and_the_others_are(tmp_path):
    old = ensure_signer(tmp_path, "release")
    new = rotated_signer(tmp_path, "release")
    revoke_key(tmp_path, old.key_id, **SAID)
    ring = KeyRing.from_directory(tmp_path)
    with pytest.raises(IntegrityError, match="by a key that was revoked") as refused:
        ring.verify("release", b"x", old.sign(b"x"))
    assert refused.value.code == "revoked_key"
    ring.verify("release", b"x", new.sign(b"x"))


def test_the_key_that_signs_an_unknown_one_and_a_revoked_one_are_not_revoked(tmp_path):
    old = ensure_signer(tmp_path, "release")
    with pytest.raises(InvalidInputError, match="the one that signs as release"):
        revoke_key(tmp_path, old.key_id, **SAID)
    with pytest.raises(InvalidInputError, match="no such key"):
        revoke_key(tmp_path, "0" * 16, **SAID)
    rotated_signer(tmp_path, "release")
    revoke_key(tmp_path, old.key_id, **SAID)
    with pytest.raises(InvalidInputError, match="revoked already"):
        revoke_key(tmp_path, old.key_id, **SAID)


def test_a_list_of_revoked_keys_that_cannot_be_read_stops_all_belief(tmp_path):
    ensure_signer(tmp_path, "release")
    (tmp_path / "revoked.json").write_text('{"keys": [')
    with pytest.raises(IntegrityError, match="no signature is believed"):
        KeyRing.from_directory(tmp_path)


@pytest.mark.parametrize("n_writes", range(5))
def test_a_rotation_cut_short_leaves_a_key_that_signs_and_verifies(tmp_path, monkeypatch, n_writes):
    old = ensure_signer(tmp_path, "channels")
    signed = old.sign(b"x")
    replace, done = Path.replace, list[Path]()

    def replaced(path, target):
        if len(done) == n_writes:
            raise OSError("the power went")
        done.append(target)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replaced)
    if n_writes < 4:
        with pytest.raises(OSError, match="the power went"):
            rotated_signer(tmp_path, "channels")
    else:
        rotated_signer(tmp_path, "channels")
    monkeypatch.undo()
    ring = KeyRing.from_directory(tmp_path)  # before anybody mends it
    ring.verify("channels", b"x", signed)
    ring.verify("channels", b"x", load_signer(tmp_path, "channels").sign(b"x"))
    signer = ensure_signer(tmp_path, "channels")
    assert (tmp_path / "channels.public.pem").read_bytes() == signer.public_pem
    assert current_keys(tmp_path) == {"channels": signer.key_id}
    KeyRing.from_directory(tmp_path).verify("channels", b"x", signed)


@pytest.fixture
def mounted(tmp_path):
    """Keys of a home beside which a secret store shows private ones, to a pod's group."""
    directory, store = tmp_path / "keys", tmp_path / "keys" / MOUNTED
    store.mkdir(parents=True)
    for role in ("release", "audit"):
        path = store / f"{role}.private.pem"
        path.write_bytes(private_pem(Ed25519PrivateKey.generate()))
        path.chmod(0o440)
    return directory


def test_a_mounted_key_signs_and_nothing_is_made_or_changed_beside_it(mounted, monkeypatch):
    def refused(*_):
        raise OSError(errno.EROFS, "read-only file system")

    monkeypatch.setattr(Path, "chmod", refused)
    signer = ensure_signer(mounted, "release")
    KeyRing.from_directory(mounted).verify("release", b"m", signer.sign(b"m"))
    assert ensure_signer(mounted, "release").key_id == signer.key_id
    held = {path.name for path in mounted.iterdir()}
    assert held == {MOUNTED, f"release-{signer.key_id}.public.pem"}
    assert current_keys(mounted)["release"] == signer.key_id


def test_a_role_that_is_not_mounted_is_not_made_up(mounted):
    with pytest.raises(ConfigurationError, match="no private key for the role channels"):
        ensure_signer(mounted, "channels")


def test_a_mounted_key_is_rotated_where_it_comes_from(mounted):
    old = ensure_signer(mounted, "release")
    with pytest.raises(InvalidInputError, match="secret store"):
        rotated_signer(mounted, "release")
    path = mounted / MOUNTED / "release.private.pem"
    path.unlink()
    path.write_bytes(private_pem(Ed25519PrivateKey.generate()))
    path.chmod(0o440)
    new = ensure_signer(mounted, "release")
    ring = KeyRing.from_directory(mounted)
    for signer in (old, new):
        ring.verify("release", b"m", signer.sign(b"m"))
    revoke_key(mounted, old.key_id, who="ada", why="old", at_ms=1)
    with pytest.raises(InvalidInputError, match="the one that signs"):
        revoke_key(mounted, new.key_id, who="ada", why="lost", at_ms=1)


def test_a_mounted_key_that_was_revoked_or_that_all_can_read_does_not_sign(mounted):
    path = mounted / MOUNTED / "release.private.pem"
    path.chmod(0o444)
    with pytest.raises(ConfigurationError, match="readable by others"):
        ensure_signer(mounted, "release")
    path.chmod(0o440)
    old, content = ensure_signer(mounted, "release"), path.read_bytes()
    path.unlink()
    path.write_bytes(private_pem(Ed25519PrivateKey.generate()))
    path.chmod(0o440)
    ensure_signer(mounted, "release")
    revoke_key(mounted, old.key_id, who="ada", why="lost", at_ms=1)
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o440)
    with pytest.raises(IntegrityError, match="was revoked"):
        ensure_signer(mounted, "release")
