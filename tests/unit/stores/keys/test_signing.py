import base64

import pytest

from core.errors import ConfigurationError, IntegrityError
from stores.keys.signing import KeyRing, ensure_signer, load_signer


def test_a_signature_holds_for_its_role_key_and_bytes(tmp_path):
    signer = ensure_signer(tmp_path, "release")
    KeyRing.from_directory(tmp_path).verify("release", b"manifest", signer.sign(b"manifest"))


def test_a_signature_over_other_bytes_is_refused(tmp_path):
    signature = ensure_signer(tmp_path, "release").sign(b"manifest")
    with pytest.raises(IntegrityError) as refused:
        KeyRing.from_directory(tmp_path).verify("release", b"manifesto", signature)
    assert refused.value.code == "bad_signature"


def test_a_signature_of_one_role_is_none_of_another(tmp_path):
    ensure_signer(tmp_path, "channels")
    signature = ensure_signer(tmp_path, "release").sign(b"x")
    keys = KeyRing.from_directory(tmp_path)
    with pytest.raises(IntegrityError) as refused:
        keys.verify("channels", b"x", signature)
    assert refused.value.code == "unknown_key"
    with pytest.raises(IntegrityError):
        keys.verify("channels", b"x", signature.model_copy(update={"role": "channels"}))


def test_one_key_in_two_roles_signs_for_each_apart(tmp_path):
    # The role is part of what is signed, so copying a key file does not join two roles.
    signer = ensure_signer(tmp_path, "release")
    (tmp_path / "channels.public.pem").write_bytes((tmp_path / "release.public.pem").read_bytes())
    stolen = signer.sign(b"x").model_copy(update={"role": "channels"})
    with pytest.raises(IntegrityError) as refused:
        KeyRing.from_directory(tmp_path).verify("channels", b"x", stolen)
    assert refused.value.code == "bad_signature"


def test_a_stranger_s_signature_is_refused(tmp_path):
    ensure_signer(tmp_path / "ours", "release")
    strange = ensure_signer(tmp_path / "theirs", "release").sign(b"x")
    with pytest.raises(IntegrityError) as refused:
        KeyRing.from_directory(tmp_path / "ours").verify("release", b"x", strange)
    assert refused.value.code == "unknown_key"


@pytest.mark.parametrize("value", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_mangled_signature_is_refused(tmp_path, value):
    signature = ensure_signer(tmp_path, "release").sign(b"x").model_copy(update={"value": value})
    with pytest.raises(IntegrityError):
        KeyRing.from_directory(tmp_path).verify("release", b"x", signature)


def test_both_keys_hold_while_one_is_rotated(tmp_path):
    old = ensure_signer(tmp_path, "release")
    (tmp_path / "release.public.pem").rename(tmp_path / "release.2025.public.pem")
    (tmp_path / "release.private.pem").unlink()
    new = ensure_signer(tmp_path, "release")
    keys = KeyRing.from_directory(tmp_path)
    assert old.key_id != new.key_id
    keys.verify("release", b"x", old.sign(b"x"))
    keys.verify("release", b"x", new.sign(b"x"))


def test_the_private_key_is_for_its_owner_alone(tmp_path):
    ensure_signer(tmp_path / "keys", "release")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / "release.private.pem").stat().st_mode & 0o777 == 0o600


def test_a_private_key_that_others_can_read_is_not_used(tmp_path):
    ensure_signer(tmp_path, "release")
    (tmp_path / "release.private.pem").chmod(0o644)
    with pytest.raises(ConfigurationError, match="readable by others"):
        load_signer(tmp_path, "release")


def test_a_pair_is_made_once(tmp_path):
    assert ensure_signer(tmp_path, "release").key_id == ensure_signer(tmp_path, "release").key_id


def test_who_serves_needs_public_keys_only(tmp_path):
    signature = ensure_signer(tmp_path / "builder", "release").sign(b"x")
    service = tmp_path / "service"
    service.mkdir()
    (service / "release.public.pem").write_bytes(
        (tmp_path / "builder" / "release.public.pem").read_bytes()
    )
    KeyRing.from_directory(service).verify("release", b"x", signature)
    with pytest.raises(ConfigurationError, match="no private key"):
        load_signer(service, "release")
