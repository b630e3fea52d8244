"""Ports: what the engine needs of the outside, as protocols; adapters are in stores, serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class OnlineStore(Protocol):
    """Compact bytes under binary keys. Two key families never share a writer: base and delta."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of ``keys``; None where there is none. One round trip a node."""
        ...

    def write(self, items: Mapping[bytes, bytes]) -> None:
        """Replace the values of all keys; each key atomically."""
        ...

    def delete(self, keys: Sequence[bytes]) -> None:
        """Remove keys; absent ones are ignored."""
        ...

    def keys(self, start: bytes) -> list[bytes]:
        """Keys that begin with ``start``, in order; looks through all there are, so for upkeep."""
        ...

    def claim(
        self, items: Mapping[bytes, bytes], *, expires_in_ms: int, now_ms: int
    ) -> dict[bytes, bytes]:
        """Store each key that is absent or expired; return the values of those already held.

        The seen-set of event ids: first writer wins, a later one learns what was written.
        """
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class ModelRunner(Protocol):
    """A model that turns vectors into scores. It does not know whether it is batched."""

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``, for vectors of shape ``(n, d)``; NaN is null."""
        ...
