"""The life of a signing key: a new one takes over, an old one is no longer believed.

::

    keys/<role>.private.pem            the key that signs
    keys/<role>.public.pem             its public half
    keys/<role>-<key id>.public.pem    public halves of keys before it
    keys/revoked.json                  keys that nothing is believed of any more
    keys/private/<role>.private.pem    instead of the first, where a secret store is mounted

What an old key signed holds until the key is revoked. Who only verifies is given the public files
and ``revoked.json``.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.errors import InvalidInputError
from stores.durable import exclusive_lock, write_durably
from stores.keys.signing import (
    MOUNTED,
    ROLES,
    RevokedKey,
    RevokedKeys,
    Role,
    Signer,
    is_mounted,
    load_signer,
    private_pem,
    public_keys,
    revoked_keys,
    revoked_path,
)
from stores.shelf.channels import document_bytes


def rotated_signer(directory: Path, role: Role) -> Signer:
    """A new key for a role; the one before it is gone, and its public half stays.

    The public half of either key is there before the private one changes, so that at no instant
    something is signed that cannot be verified.

    Raises
    ------
    InvalidInputError
        If keys come from a secret store.
    """
    refuse_mounted(directory)
    with exclusive_lock(directory / ".lock"):
        former = load_signer(directory, role)
        key = Ed25519PrivateKey.generate()
        signer = Signer(role, key)
        for each in (former, signer):
            write_durably(directory / f"{role}-{each.key_id}.public.pem", each.public_pem)
        write_durably(directory / f"{role}.private.pem", private_pem(key), mode=0o600)
        write_durably(directory / f"{role}.public.pem", signer.public_pem)
        (directory / f"{role}-{signer.key_id}.public.pem").unlink()
    return signer


def refuse_mounted(directory: Path) -> None:
    """Return when the keys that sign are the home's own; InvalidInputError else."""
    if is_mounted(directory):
        raise InvalidInputError(
            "the keys that sign come from a secret store",
            found=f"files in {directory / MOUNTED}",
            remedy="put a new one there; what the old one signed holds until you revoke it",
            code="mounted_keys",
        )


def revoke_key(directory: Path, key_id: str, *, who: str, why: str, at_ms: int) -> RevokedKey:
    """Believe nothing that a key signed, from now on and for good.

    Raises
    ------
    InvalidInputError
        If there is no such key, it is revoked already, or it is the one that signs.
    """
    with exclusive_lock(directory / ".lock"):
        role = revocable_role(directory, key_id)
        before = revoked_keys(directory)
        revoked = RevokedKey(key_id=key_id, role=role, who=who, why=why, at_ms=at_ms)
        content = document_bytes(RevokedKeys(keys=(*before.keys, revoked)))
        write_durably(revoked_path(directory), content)
    return revoked


def revocable_role(directory: Path, key_id: str) -> Role:
    """What a key signed as, when it can be revoked; raises as `revoke_key`."""
    known = public_keys(directory)
    found = [role for role, key in known if key == key_id]
    revoked = {each.key_id for each in revoked_keys(directory).keys}
    if not found or key_id in revoked:
        raise InvalidInputError(
            "there is no such key, or it is revoked already",
            found=f"{len(known)} keys, {len(revoked)} of them revoked",
            remedy="name one as `throughline signing list` shows it",
            code="unknown_signing_key",
        )
    if key_id in current_keys(directory).values():
        raise InvalidInputError(
            f"the key is the one that signs as {found[0]}",
            remedy=f"`throughline signing rotate {found[0]}` first",
            code="signing_key_in_use",
        )
    return found[0]


def current_keys(directory: Path) -> dict[Role, str]:
    """Id of the key that signs, by role, of the roles that have one here."""
    folder = directory / MOUNTED if is_mounted(directory) else directory
    held = [role for role in ROLES if (folder / f"{role}.private.pem").exists()]
    return {role: load_signer(directory, role).key_id for role in held}
