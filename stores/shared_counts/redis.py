"""Rollout counts in Redis: a hash of documents and a set of entities for each experiment."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from core.errors import DependencyError
from stores.online.redis import client_at, translated
from stores.shared_counts import KEPT_MS

_CHUNK = 1_000
"""Commands a round trip: a server does little else while it answers them."""


class RedisSharedCounts:
    """`SharedCounts` over one Redis or a cluster; a connection is made on first use."""

    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client: Any = None

    def first_seen(self, experiment: str, entities: Sequence[bytes]) -> list[bool]:
        """Remember entities; of each, whether nobody had told of it before."""
        key = _key(experiment, b"entities")
        is_new: list[bool] = []
        with translated():
            for start in range(0, len(entities), _CHUNK):
                pipeline = self._connected().pipeline(transaction=False)
                for entity in entities[start : start + _CHUNK]:
                    pipeline.sadd(key, entity)
                pipeline.pexpire(key, KEPT_MS)
                is_new += [bool(added) for added in pipeline.execute()[:-1]]
        return is_new

    def publish(self, experiment: str, worker: str, document: bytes, *, now_ms: int) -> None:
        """Put a worker's document in the place of its last one; the server's clock ages it."""
        del now_ms
        key = _key(experiment, b"counts")
        with translated():
            pipeline = self._connected().pipeline(transaction=False)
            pipeline.hset(key, worker, document)
            pipeline.pexpire(key, KEPT_MS)
            pipeline.execute()

    def read(self, experiment: str) -> dict[str, bytes]:
        """Last document of every worker."""
        with translated():
            found = self._connected().hgetall(_key(experiment, b"counts"))
        # A name that is no text was not put there by a worker: what it holds is for who reads it.
        return {worker.decode("utf-8", "replace"): document for worker, document in found.items()}

    def forget(self, experiment: str) -> None:
        """Drop everything about an experiment."""
        with translated():
            for kind in (b"counts", b"entities"):
                self._connected().unlink(_key(experiment, kind))

    def close(self) -> None:
        """Give connections back."""
        if self._client is not None:
            with contextlib.suppress(DependencyError), translated():
                self._client.close()

    def _connected(self) -> Any:
        if self._client is None:
            self._client = client_at(self._url, timeout_s=self._timeout_s)
        return self._client


def _key(experiment: str, kind: bytes) -> bytes:
    return b"rollout/" + kind + b"/" + experiment.encode()
