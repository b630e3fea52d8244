"""Secrets of a home that digests are keyed with: 32 random bytes each, for their owner alone."""

from __future__ import annotations

import secrets
from pathlib import Path

from core.errors import ConfigurationError
from stores.durable import exclusive_lock, write_durably

KEY_BYTES = 32


def ensure_secret_key(directory: Path, name: str) -> bytes:
    """Bytes of the key file ``name`` in ``directory``, which is made when there is none.

    Raises
    ------
    ConfigurationError
        If others may read the file, or it is not a key.
    """
    path = directory / name
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with exclusive_lock(directory / ".lock"):
            if not path.exists():
                write_durably(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigurationError(
            "a secret key is readable by others",
            found=f"mode {mode:o} of {name}",
            remedy=f"chmod 600 {name}, and consider it lost",
            code="bad_secret_key",
        )
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            "a secret key has another length",
            found=f"{len(key)} bytes in {name}",
            remedy=f"restore the file {name}; what was made with it cannot be told without it",
            code="bad_secret_key",
        )
    return key
