"""Masks: what stands in a record in the place of a personal value.

A mask is a keyed digest, so the same value has the same mask everywhere in a home: whoever
holds the key can tell whose record it is and nobody else can, not even by trying all values.
The key is 32 random bytes, made when it is first needed. Without it a mask says only that two
records are about the same, and what was recorded can no longer be computed from the tables.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from core.contracts import FieldSpec
from core.errors import ConfigurationError
from core.features.keys import entity_key
from stores.durable import exclusive_lock, write_durably

KEY_FILE = "mask.key"
KEY_BYTES = 32
PREFIX = "masked:"
_DIGEST_BYTES = 10
_MASKED_CLASSES = ("personal", "sensitive")


def is_masked(spec: FieldSpec) -> bool:
    """Whether values of a field are personal, so that no record holds them."""
    return spec.column_class in _MASKED_CLASSES


class Mask:
    """Masks values with one key.

    Examples
    --------
    >>> mask = Mask(b"k" * 32)
    >>> mask.of("c1")
    'masked:243958db5918f877a2a7'
    >>> mask.of(7) == mask.of("7")
    True
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigurationError(
                "the key of masks has another length",
                found=f"{len(key)} bytes",
                remedy=f"restore the file {KEY_FILE}; without it old masks cannot be told apart",
                code="bad_mask_key",
            )
        self._keyed = hashlib.blake2b(key=key, digest_size=_DIGEST_BYTES)

    def of(self, value: str | int) -> str:
        """Mask of a value; integers count as their decimal text, as in an entity's key."""
        keyed = self._keyed.copy()
        keyed.update(entity_key((value,)))
        return PREFIX + keyed.hexdigest()


def ensure_mask(directory: Path) -> Mask:
    """Mask with the key in ``directory``, which is made when there is none.

    Raises
    ------
    ConfigurationError
        If others may read the key, or it is not one.
    """
    path = directory / KEY_FILE
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with exclusive_lock(directory / ".lock"):
            if not path.exists():
                write_durably(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigurationError(
            "the key of masks is readable by others",
            found=f"mode {mode:o} of {KEY_FILE}",
            remedy=f"chmod 600 {KEY_FILE}; who read it can tell whose records these are",
            code="bad_mask_key",
        )
    return Mask(path.read_bytes())
