"""Online values in Redis: one server, or a Redis Cluster with one pipeline a node.

Nothing is retried here: a read has a budget, and what to do when it fails is the caller's
decision. Claims expire by the server's clock.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from core.errors import DependencyError

_CLUSTER = "redis+cluster://"
_CLAIM = b"claim/"
_SPECIAL = re.compile(rb"[\\*?\[\]^-]")
_CHUNK = 1_000
"""Keys a command: a server does nothing else while it answers one."""


class RedisOnlineStore:
    """`core.ports.OnlineStore` over redis-py with hiredis; build it with `at`."""

    def __init__(self, client: Any, *, is_cluster: bool = False) -> None:
        self._client = client
        self._is_cluster = is_cluster

    @classmethod
    def at(cls, url: str, *, timeout_s: float = 1.0) -> RedisOnlineStore:
        """Store at ``url``; connections are made on first use, a cluster is asked at once."""
        client = client_at(url, timeout_s=timeout_s)
        return cls(client, is_cluster=url.startswith(_CLUSTER))

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of ``keys``; None where there is none."""
        values: list[bytes | None] = []
        with translated():
            read = self._client.mget_nonatomic if self._is_cluster else self._client.mget
            for chunk in _chunks(list(keys)):
                values += read(chunk)
        return values

    def write(self, items: Mapping[bytes, bytes]) -> None:
        """Replace the values of all keys; each key atomically."""
        with translated():
            write = self._client.mset_nonatomic if self._is_cluster else self._client.mset
            for chunk in _chunks(list(items.items())):
                write(dict(chunk))

    def delete(self, keys: Sequence[bytes]) -> None:
        """Remove keys; absent ones are ignored."""
        with translated():
            for chunk in _chunks(list(keys)):
                self._client.unlink(*chunk)

    def keys(self, start: bytes) -> list[bytes]:
        """Keys that begin with ``start``, in order; what is written meanwhile may be missed."""
        pattern = _SPECIAL.sub(rb"\\\g<0>", start) + b"*"
        with translated():
            return sorted(set(self._client.scan_iter(match=pattern, count=_CHUNK)))

    def claim(
        self, items: Mapping[bytes, bytes], *, expires_in_ms: int, now_ms: int
    ) -> dict[bytes, bytes]:
        """Store each key that is absent or expired; return the values of those already held.

        ``now_ms`` is not read: the server's own clock ends a claim.
        """
        held: dict[bytes, bytes] = {}
        with translated():
            for chunk in _chunks(list(items.items())):
                pipeline = self._client.pipeline(transaction=False)
                for key, value in chunk:
                    pipeline.set(_CLAIM + key, value, nx=True, px=expires_in_ms, get=True)
                answers = pipeline.execute()
                held |= {
                    key: answer
                    for (key, _), answer in zip(chunk, answers, strict=True)
                    if answer is not None
                }
        return held

    def close(self) -> None:
        """Give connections back."""
        with contextlib.suppress(RedisError):
            self._client.close()


def client_at(url: str, *, timeout_s: float) -> Any:
    """Client of one Redis or of a cluster; it retries nothing. DependencyError if none is there."""
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
    with translated():
        if url.startswith(_CLUSTER):
            return RedisCluster.from_url("redis://" + url.removeprefix(_CLUSTER), **options)
        return Redis.from_url(url, **options)


def all_pairs(url: str, *, timeout_s: float = 10.0) -> Iterator[tuple[bytes, bytes]]:
    """Every key with its value, whatever wrote it; members of a compound value have a NUL between.

    For a search: what changes meanwhile may be missed.

    Raises
    ------
    DependencyError
        If the server fails, or holds a value of a kind that is not known here.
    """
    client = client_at(url, timeout_s=timeout_s)
    with translated(), contextlib.closing(client):
        for key in client.scan_iter(count=_CHUNK):
            yield key, b"\0".join(_members(client, key))


def _members(client: Any, key: bytes) -> Sequence[bytes]:
    kind = client.type(key)
    if kind == b"string":
        return [client.get(key) or b""]
    if kind == b"hash":
        return [part for pair in client.hgetall(key).items() for part in pair]
    if kind == b"set":
        return list(client.smembers(key))
    if kind == b"list":
        return list(client.lrange(key, 0, -1))
    if kind == b"zset":
        return list(client.zrange(key, 0, -1))
    if kind == b"none":  # gone meanwhile
        return []
    raise DependencyError(
        "the online store (Redis) holds a value that cannot be searched",
        found=f"a value of kind {kind.decode()}",
        remedy="give Throughline a database of its own",
    )


def _chunks(members: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(members), _CHUNK):
        yield members[start : start + _CHUNK]


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Failures of Redis as DependencyError."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise DependencyError(
            "the online store (Redis) failed",
            found=f"{type(error).__name__}: {error}",
            remedy="see that the server runs, has memory, and answers within the timeout",
        ) from error
