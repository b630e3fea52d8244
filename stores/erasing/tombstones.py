"""Tombstones of a home: who was forgotten, so that no row of theirs is ever taken again.

One file each in ``erasure/tombstones``, named by the token and kept for good. A row is compared by
masking its values with the home's key, so the files say nothing without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.contracts import Source
from core.erasing.erasure import Tombstone
from core.errors import ConfigurationError, IntegrityError, InvalidInputError
from stores.durable import write_durably
from stores.keys.secret_keys import ensure_secret_key
from stores.layout import Layout
from stores.masking import KEY_FILE, Mask

_WORDS = re.compile(r"[\w-]+")
_DEEPEST = 8


@dataclass(frozen=True)
class Forgotten:
    """Everybody who was forgotten; travels to the workers of a job.

    Parameters
    ----------
    keys
        Join keys by which somebody was.
    tokens
        Masks of their values.
    mask_key
        The home's key of masks.
    """

    keys: frozenset[str]
    tokens: frozenset[str]
    mask_key: bytes

    def __getstate__(self) -> dict[str, Any]:
        """Without what is built from the key, which cannot travel."""
        return {name: self.__dict__[name] for name in ("keys", "tokens", "mask_key")}

    @cached_property
    def _mask(self) -> Mask:
        return Mask(self.mask_key)

    def is_of(self, value: Any) -> bool:
        """Whether a value is the identifier of somebody who was forgotten."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            return False
        try:
            return self._mask.of(value) in self.tokens
        except InvalidInputError:  # no identifier is as long, or not Unicode
            return False

    def columns(self, source: Source) -> list[int]:
        """Places of the fields of a source that may name somebody: texts, and join keys."""
        return [
            place
            for place, field in enumerate(source.fields)
            if field.type == "string" or field.name in self.keys
        ]

    def is_in_row(self, values: Sequence[Any], columns: Iterable[int]) -> bool:
        """Whether one of a row's values, at these places, is of somebody."""
        return any(self.is_of(values[place]) for place in columns)

    def is_in_record(self, raw: Any, *, depth: int = 0) -> bool:
        """Whether a record as it came, of whatever shape, names somebody."""
        if depth > _DEEPEST:
            return False
        if isinstance(raw, Mapping):
            return any(self.is_in_record(value, depth=depth + 1) for value in raw.values())
        if isinstance(raw, list | tuple):
            return any(self.is_in_record(value, depth=depth + 1) for value in raw)
        if isinstance(raw, str):
            return self.is_of(raw) or any(map(self.is_of, _WORDS.findall(raw)))
        return self.is_of(raw)


class Tombstones:
    """The tombstones of a home; who asks often pays for one look at the folder."""

    def __init__(self, layout: Layout) -> None:
        self._directory = layout.erasure / "tombstones"
        self._keys = layout.keys
        self._seen_ns = 0
        self._forgotten: Forgotten | None = None

    def put(self, tombstone: Tombstone) -> None:
        """Put one down for good; the first stays where there is one."""
        path = self._directory / f"{tombstone.erasure_id}.json"
        if path.exists():
            return
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(path, tombstone.model_dump_json(indent=1).encode(), mode=0o600)

    def all(self) -> list[Tombstone]:
        """Every one, the oldest first.

        Raises
        ------
        IntegrityError
            If a file is none: rows of somebody might be taken who was forgotten.
        """
        found = [_read(path) for path in self._directory.glob("*.json")]
        return sorted(found, key=lambda each: (each.at_ms, each.token))

    def forgotten(self) -> Forgotten | None:
        """Everybody who was forgotten by now; None where nobody was.

        Raises
        ------
        ConfigurationError
            If there are tombstones and not the key to compare with.
        """
        try:
            changed_ns = self._directory.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if changed_ns != self._seen_ns:
            self._forgotten, self._seen_ns = self._read_all(), changed_ns
        return self._forgotten

    def _read_all(self) -> Forgotten | None:
        stones = self.all()
        if not stones:
            return None
        if not (self._keys / KEY_FILE).exists():
            raise ConfigurationError(
                "people were forgotten here, and the key that tells who is not there",
                found=f"no {KEY_FILE} in the keys folder",
                remedy=f"restore {KEY_FILE}: without it their rows would be taken again",
                code="no_mask_key",
            )
        return Forgotten(
            frozenset(stone.key for stone in stones),
            frozenset(stone.token for stone in stones),
            ensure_secret_key(self._keys, KEY_FILE),
        )


def _read(path: Path) -> Tombstone:
    try:
        return Tombstone.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            "a tombstone cannot be read, so nobody knows whose rows must not be taken",
            found=f"{type(error).__name__} at {path.name}",
            remedy="restore the file from a backup",
            code="bad_tombstone",
        ) from error
