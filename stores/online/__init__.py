"""Online stores: compact bytes under binary keys, on one machine or on Redis."""

from __future__ import annotations

from pathlib import Path

from core.errors import ConfigurationError
from core.ports import OnlineStore

_SQLITE = "sqlite:///"
_REDIS = ("redis://", "rediss://", "unix://", "redis+cluster://")


def open_online_store(url: str, *, timeout_s: float = 1.0) -> OnlineStore:
    """Online store that ``url`` names.

    ``sqlite:///relative`` or ``sqlite:////absolute`` is a file; ``redis://host:port/db``,
    ``rediss://`` (TLS) and ``unix:///path`` are one Redis; ``redis+cluster://host:port`` is
    a node of a Redis Cluster.

    Parameters
    ----------
    url
        Where the values are.
    timeout_s
        Longest wait for one answer; for SQLite, for another writer's lock.

    Raises
    ------
    ConfigurationError
        If the URL has another form.
    DependencyError
        If the SQLite file cannot be opened. Redis is first asked on first use.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        from stores.online.sqlite import SqliteOnlineStore

        return SqliteOnlineStore(Path(url.removeprefix(_SQLITE)), timeout_s=timeout_s)
    if url.startswith(_REDIS):
        from stores.online.redis import RedisOnlineStore

        return RedisOnlineStore.at(url, timeout_s=timeout_s)
    raise ConfigurationError(
        "the online store's URL has no known form",
        found=f"a URL of scheme {url.split(':')[0][:20]!r}",
        remedy="write sqlite:///path, redis://host:port, unix:///path or redis+cluster://host:port",
    )
