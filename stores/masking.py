"""Masks: what stands in records and training sets in the place of a personal value.

A mask is a keyed digest, so the same value has the same mask everywhere in a home: whoever
holds the key can tell whose record it is and nobody else can, not even by trying all values.
The key is 32 random bytes, made when it is first needed. Without it a mask says only that two
records are about the same, and what was recorded can no longer be computed from the tables.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from core.contracts import FieldSpec
from core.features.keys import entity_key
from stores.keys.secret_keys import ensure_secret_key

KEY_FILE = "mask.key"
PREFIX = "masked:"
_DIGEST_BYTES = 10
_MASKED_CLASSES = ("personal", "sensitive")


def is_masked(spec: FieldSpec) -> bool:
    """Whether values of a field are personal, so that no record or training set holds them."""
    return spec.column_class in _MASKED_CLASSES


class Mask:
    """Masks values with one key. It may be pickled, key and all: for workers of a job only.

    Examples
    --------
    >>> mask = Mask(b"k" * 32)
    >>> mask.of("c1")
    'masked:243958db5918f877a2a7'
    >>> mask.of(7) == mask.of("7")
    True
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._keyed = hashlib.blake2b(key=key, digest_size=_DIGEST_BYTES)

    def __reduce__(self) -> tuple[type[Mask], tuple[bytes]]:
        return Mask, (self._key,)

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
    return Mask(ensure_secret_key(directory, KEY_FILE))
