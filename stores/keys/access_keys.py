"""The access keys of a home: ``access/keys.json``, which holds digests of secrets and no secret.

What is done to them is in the home's audit log before it is done.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field

from core.access import (
    ID_BYTES,
    SECRET_BYTES,
    AccessKey,
    KeptSecret,
    RateLimit,
    Scope,
    secret_digest,
    written_key,
)
from core.audit.records import Entry, Record
from core.errors import ConfigurationError, IntegrityError, InvalidInputError
from core.features.plan import Frozen
from stores.audit.log import AuditLog
from stores.durable import exclusive_lock, write_durably
from stores.shelf.channels import MAX_DOCUMENT_BYTES, document_bytes, read_document

Change = Literal["created", "rotated", "revoked"]
Stamp = tuple[int, int, int]
_MADE = "key_created"


class AccessKeys(Frozen):
    """Content of ``keys.json``. ``counter`` only grows, even when the file was lost between.

    ``begun`` is the first key while it is being made: the audit log may tell of it already.
    """

    counter: int = Field(default=0, ge=0)
    keys: tuple[AccessKey, ...] = ()
    begun: str = Field(default="", exclude_if=lambda value: not value)

    def by_id(self) -> dict[str, AccessKey]:
        """Keys by their ids."""
        return {key.key_id: key for key in self.keys}


class AccessKeyFile:
    """Reads the keys; creates, rotates and revokes them, each change audited before it is made.

    ``directory`` lies in its home; ``audit`` is that home's log, unsigned when none is given.
    """

    def __init__(self, directory: Path, audit: AuditLog | None = None) -> None:
        self._directory = directory
        self.audit = audit or AuditLog.beside(directory, is_signing=False)

    @property
    def path(self) -> Path:
        """The keys, for their owner's eyes."""
        return self._directory / "keys.json"

    def stamp(self) -> Stamp | None:
        """What changes whenever the file does; None when there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self) -> AccessKeys:
        """Keys as they are; none with counter 0 when there is no file.

        Raises
        ------
        IntegrityError
            If the file is not one of keys.
        ConfigurationError
            If it belongs to somebody else.
        """
        try:
            return read_document(self.path, AccessKeys) if self.path.exists() else AccessKeys()
        except PermissionError as error:
            raise ConfigurationError(
                "the access keys of this home belong to another user",
                found=f"{self.path.name}, which user {os.getuid()} may not read",
                remedy="run the command line and the service as the same user",
            ) from error

    def read_at_start(self) -> AccessKeys:
        """Keys as they are, for whoever is open to all where nobody was ever given one.

        Raises
        ------
        IntegrityError, ConfigurationError
            As ``read``; and if keys were made, as the audit log has it, and their file has gone.
        """
        found = self.read()
        if found.counter:
            return found
        told = self.audit.latest(1, _is_made, hints=(_MADE,))
        if not told or told[0].about["key"] == found.begun:  # the first one was never handed out
            return found
        raise IntegrityError(
            "the access keys of this home have gone",
            found=f"keys that were made, and no {self.path.name}",
            remedy="put the file back from a backup, or make a key (`throughline keys create`)",
            code="keys_gone",
        )

    def create(
        self,
        *,
        owner: str,
        scopes: tuple[Scope, ...],
        expires_ms: int | None = None,
        rate: RateLimit | None = None,
        daily_quota: int | None = None,
        who: str,
        why: str,
        now_ms: int,
    ) -> str:
        """Make a key; the only time that its secret is seen is in what this returns."""
        key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)
        key = AccessKey(
            key_id=key_id,
            owner=owner,
            scopes=scopes,
            secrets=(KeptSecret(hashed=secret_digest(key_id, secret)),),
            created_ms=now_ms,
            expires_ms=expires_ms,
            rate=rate,
            daily_quota=daily_quota,
        )

        def added(keys: dict[str, AccessKey]) -> AccessKey:
            del keys
            return key

        self._change("created", key_id, added, who=who, why=why, now_ms=now_ms)
        return written_key(key_id, secret)

    def rotate(self, key_id: str, *, overlap_ms: int, who: str, why: str, now_ms: int) -> str:
        """Give a key a new secret; the one it has holds for ``overlap_ms`` more.

        Raises
        ------
        InvalidInputError
            If there is no such key, or it opens nothing any more.
        """
        secret = secrets.token_hex(SECRET_BYTES)
        fresh = KeptSecret(hashed=secret_digest(key_id, secret))

        def rotated(keys: dict[str, AccessKey]) -> AccessKey:
            key = _usable(keys, key_id, now_ms)
            former = key.secrets[-1].model_copy(update={"until_ms": now_ms + overlap_ms})
            return key.model_copy(update={"secrets": (former, fresh)})

        self._change("rotated", key_id, rotated, who=who, why=why, now_ms=now_ms)
        return written_key(key_id, secret)

    def revoke(self, key_id: str, *, who: str, why: str, now_ms: int) -> None:
        """Make a key open nothing, for good; InvalidInputError when it opens nothing already."""

        def revoked(keys: dict[str, AccessKey]) -> AccessKey:
            return _usable(keys, key_id, now_ms).model_copy(update={"revoked_ms": now_ms})

        self._change("revoked", key_id, revoked, who=who, why=why, now_ms=now_ms)

    def _change(
        self,
        what: Change,
        key_id: str,
        edit: Callable[[dict[str, AccessKey]], AccessKey],
        *,
        who: str,
        why: str,
        now_ms: int,
    ) -> None:
        _private(self._directory)
        with exclusive_lock(self._directory / ".lock"):
            kept = self.read()
            keys = kept.by_id()
            keys[key_id] = edit(keys)
            about = {"key": key_id}
            entry = Entry(at_ms=now_ms, what=f"key_{what}", who=who, why=why, about=about)
            counter = max(kept.counter + 1, now_ms)
            after = AccessKeys(counter=counter, keys=tuple(keys.values()))
            content = document_bytes(after)
            _check_size(content)
            if not kept.counter:
                self._begin(key_id)
            self.audit.append([entry])
            write_durably(self.path, content, mode=0o600)

    def _begin(self, key_id: str) -> None:
        """Say that no key was there before this one; nothing where some were, and have gone."""
        with suppress(IntegrityError):
            self.read_at_start()
            write_durably(self.path, document_bytes(AccessKeys(begun=key_id)), mode=0o600)


def _is_made(record: Record) -> bool:
    return record.what == _MADE


def _check_size(content: bytes) -> None:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise InvalidInputError(
            "there are too many keys for one home",
            found=f"{len(content)} bytes of them",
            remedy=f"keep below {MAX_DOCUMENT_BYTES}: rotate a key instead of making another",
            code="too_many_keys",
        )


def _usable(keys: Mapping[str, AccessKey], key_id: str, now_ms: int) -> AccessKey:
    key = keys.get(key_id)
    if key is None or not key.is_usable(now_ms):
        raise InvalidInputError(
            "there is no such key, or it opens nothing any more",
            found=f"{sum(each.is_usable(now_ms) for each in keys.values())} keys that do",
            remedy="name one by its id, as `throughline keys list` shows it",
            code="unknown_key",
        )
    return key


def _private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
