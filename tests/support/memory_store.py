"""The online store as a dictionary: passes the contract of the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class MemoryOnlineStore:
    """`core.ports.OnlineStore` for tests of what stands above it."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._claims: dict[bytes, tuple[bytes, int]] = {}

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]

    def write(self, items: Mapping[bytes, bytes]) -> None:
        self.values.update(items)

    def delete(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self.values.pop(key, None)

    def keys(self, start: bytes) -> list[bytes]:
        return sorted(key for key in self.values if key.startswith(start))

    def claim(
        self, items: Mapping[bytes, bytes], *, expires_in_ms: int, now_ms: int
    ) -> dict[bytes, bytes]:
        held = {}
        for key, value in items.items():
            claimed = self._claims.get(key)
            if claimed is not None and claimed[1] > now_ms:
                held[key] = claimed[0]
            else:
                self._claims[key] = (value, now_ms + expires_in_ms)
        return held

    def close(self) -> None:
        self.values.clear()
