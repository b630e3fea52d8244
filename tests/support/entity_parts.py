"""The way back from an entity key, which nothing but a test goes."""

from __future__ import annotations

LENGTH_BYTES = 2


def parts_of(key: bytes) -> tuple[str, ...]:
    """Join key values of an entity key, as text, read as its documentation says."""
    parts: list[str] = []
    while key:
        end = LENGTH_BYTES + int.from_bytes(key[:LENGTH_BYTES], "big")
        assert len(key) >= end, f"{len(key)} bytes end inside a part of {end}"
        parts.append(key[LENGTH_BYTES:end].decode())
        key = key[end:]
    return tuple(parts)
