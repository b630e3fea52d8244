"""Ed25519 signatures. Who builds holds private keys; who serves holds public keys only.

A key belongs to one role, and the role is part of what is signed: a signature over a
release can never be taken for one over the channels.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import ValidationError

from core.errors import ConfigurationError, IntegrityError
from core.features.plan import Frozen
from stores.durable import exclusive_lock, write_durably

Role = Literal["release", "approval", "channels", "audit"]
ROLES: tuple[Role, ...] = get_args(Role)
MOUNTED = "private"
"""Folder in that of the keys where a secret store shows private ones, ``<role>.private.pem``."""
GROUP_OR_OTHERS, OTHERS = 0o077, 0o007
"""Who may not read a private key; a mounted one is given to the group of a pod."""


class Signature(Frozen):
    """A signature as it stands in a file: which key of which role, and the bytes in base64."""

    role: Role
    key_id: str
    value: str


class RevokedKey(Frozen):
    """A key that is believed no more, and why."""

    key_id: str
    role: Role
    who: str
    why: str
    at_ms: int


class RevokedKeys(Frozen):
    """Content of ``revoked.json``."""

    keys: tuple[RevokedKey, ...] = ()


class Signer:
    """A private key and its role."""

    def __init__(self, role: Role, private_key: Ed25519PrivateKey) -> None:
        self.role: Role = role
        self._private_key = private_key
        self.key_id = _key_id(private_key.public_key())

    @property
    def public_pem(self) -> bytes:
        """Public half, PEM: what the service is given."""
        return self._private_key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, message: bytes) -> Signature:
        """Signature of this key over ``message`` in this role."""
        value = self._private_key.sign(_framed(self.role, message))
        return Signature(
            role=self.role, key_id=self.key_id, value=base64.b64encode(value).decode("ascii")
        )


class KeyRing:
    """Public keys, told apart by role and key id."""

    def __init__(
        self, keys: Iterable[tuple[Role, Ed25519PublicKey]], revoked: Collection[str] = ()
    ) -> None:
        self._keys = {(role, _key_id(key)): key for role, key in keys}
        self._revoked = frozenset(revoked)

    @classmethod
    def from_directory(cls, directory: Path) -> KeyRing:
        """Every ``<role>*.public.pem`` of ``directory``; private files are not opened.

        Raises
        ------
        IntegrityError
            If the list of revoked keys is there and cannot be read.
        """
        found = [(role, _read_public_key(path)) for role, path in _public_paths(directory)]
        return cls(found, {each.key_id for each in revoked_keys(directory).keys})

    def verify(self, role: Role, message: bytes, signature: Signature) -> None:
        """Return when ``signature`` is by a known key of ``role`` over ``message``.

        Raises
        ------
        IntegrityError
            If the role or the key is another one, or the bytes do not fit.
        """
        if signature.key_id in self._revoked:
            raise IntegrityError(
                f"the {role} signature is by a key that was revoked",
                found=f"key {signature.key_id}",
                remedy="have it judged and signed anew, with the key that signs now",
                code="revoked_key",
            )
        key = self._keys.get((role, signature.key_id))
        if signature.role != role or key is None:
            raise IntegrityError(
                f"no known {role} key made this signature",
                found=f"role {signature.role}, key {signature.key_id}",
                remedy="sign with a key whose public half lies in the keys folder",
                code="unknown_key",
            )
        try:
            key.verify(base64.b64decode(signature.value), _framed(role, message))
        except (InvalidSignature, ValueError) as error:
            raise IntegrityError(
                f"the {role} signature does not fit the bytes it stands for",
                found=f"a signature of key {signature.key_id} over something else",
                remedy="restore the files as they were signed, or sign them again",
                code="bad_signature",
            ) from error


def ensure_signer(directory: Path, role: Role) -> Signer:
    """Signer of ``role``; the pair is generated under ``directory`` when there is none.

    Where a secret store is mounted (`MOUNTED`) the key is taken from there, nothing is generated,
    and its public half is put down in ``directory`` when it is new.

    Raises
    ------
    ConfigurationError
        If what is mounted lacks the role, or as `load_signer` says.
    IntegrityError
        If the mounted key was revoked.
    """
    if is_mounted(directory):
        return _mounted_signer(directory, role)
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    private_path = directory / f"{role}.private.pem"
    with exclusive_lock(directory / ".lock"):
        if not private_path.exists():
            write_durably(private_path, private_pem(Ed25519PrivateKey.generate()), mode=0o600)
        signer = load_signer(directory, role)
        public_path = directory / f"{role}.public.pem"
        if not public_path.exists() or public_path.read_bytes() != signer.public_pem:
            write_durably(public_path, signer.public_pem)  # or a rotation was cut short
    return signer


def is_mounted(directory: Path) -> bool:
    """Whether private keys come from a secret store, and not from ``directory`` itself."""
    return any((directory / MOUNTED).glob("*.private.pem"))


def _mounted_signer(directory: Path, role: Role) -> Signer:
    signer = load_signer(directory, role)
    if signer.key_id in {each.key_id for each in revoked_keys(directory).keys}:
        raise IntegrityError(
            f"the mounted key for the role {role} was revoked",
            found=f"key {signer.key_id}",
            remedy="put a new one into the secret store",
            code="revoked_key",
        )
    if (role, signer.key_id) not in public_keys(directory):
        write_durably(directory / f"{role}-{signer.key_id}.public.pem", signer.public_pem)
    return signer


def load_signer(directory: Path, role: Role) -> Signer:
    """Signer of ``role`` from ``directory``, or from the secret store mounted in it.

    Raises
    ------
    ConfigurationError
        If the key is not there, is readable by others, or is not Ed25519.
    """
    has_store = is_mounted(directory)
    path = directory / (MOUNTED if has_store else "") / f"{role}.private.pem"
    if not path.exists():
        raise ConfigurationError(
            f"no private key for the role {role}",
            found=f"no file {path.name} in the {'mounted secret' if has_store else 'keys folder'}",
            remedy="put one into the secret store" if has_store
            else "run this where the key is, or let the command line generate one",
        )  # fmt: skip
    if path.stat().st_mode & (OTHERS if has_store else GROUP_OR_OTHERS):
        raise ConfigurationError(
            f"the private key {path.name} is readable by others",
            found=f"mode {path.stat().st_mode & 0o777:o}",
            remedy=f"chmod 600 {path.name}, and consider the key lost",
        )
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(
            f"{path.name} is not an Ed25519 key",
            found=type(key).__name__,
            remedy="generate one with this project's command line",
        )
    return Signer(role, key)


def public_keys(directory: Path) -> list[tuple[Role, str]]:
    """Role and id of every public key in ``directory``."""
    return [(role, _key_id(_read_public_key(path))) for role, path in _public_paths(directory)]


def revoked_path(directory: Path) -> Path:
    """File of the revoked keys."""
    return directory / "revoked.json"


def revoked_keys(directory: Path) -> RevokedKeys:
    """Keys that are believed no more; IntegrityError when the file cannot be read."""
    try:
        return RevokedKeys.model_validate_json(revoked_path(directory).read_bytes())
    except FileNotFoundError:
        return RevokedKeys()
    except ValidationError as error:
        raise IntegrityError(
            "the list of revoked keys cannot be read, so no signature is believed",
            found=f"{error.error_count()} fields that do not fit in revoked.json",
            remedy="restore the file",
            code="bad_document",
        ) from None


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """A private key as it stands in its file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_paths(directory: Path) -> list[tuple[Role, Path]]:
    return [
        (role, path) for role in ROLES for path in sorted(directory.glob(f"{role}*.public.pem"))
    ]


def _read_public_key(path: Path) -> Ed25519PublicKey:
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(
            f"{path.name} is not an Ed25519 public key",
            found=type(key).__name__,
            remedy="put the public half of the signing key there",
        )
    return key


def _key_id(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def _framed(role: Role, message: bytes) -> bytes:
    return b"throughline/" + role.encode("ascii") + b"/1\0" + message
