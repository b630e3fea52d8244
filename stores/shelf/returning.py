"""Whom going back to a former champion would refuse, and how many of them asked of late."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from heapq import nlargest
from pathlib import Path
from typing import NamedTuple

from core.clock import DAY_MS
from core.errors import PlatformError
from core.rows.event_versions import newest
from stores.layout import Layout
from stores.records.segments import SHIPPED, scan
from stores.shelf.bundle import Manifest, read_manifest
from stores.shelf.channels import Channels, ChannelState
from stores.shelf.in_use import sources_served
from stores.shelf.shelf import Shelf

MOST_RECORDS = 20_000
"""So many records, the newest, are looked at: half a second's work."""


class Refusal(NamedTuple):
    """Contracts that nobody would answer any more, the releases that do, sources likewise."""

    majors: tuple[int, ...] = ()
    releases: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.majors or self.sources)

    def sentence(self) -> str:
        """Who it is about."""
        majors = " and ".join(map(str, self.majors))
        callers = [f"callers of contract {majors}"] if majors else []
        senders = [f"senders of newer events of {', '.join(self.sources)}"] if self.sources else []
        return " and ".join([*callers, *senders])


class Seen(NamedTuple):
    """Answers that were given; ``is_all`` is false where only the newest records were looked at."""

    n: int
    last_ms: int
    is_all: bool

    def sentence(self) -> str:
        """How many, and when the last one was.

        Examples
        --------
        >>> Seen(0, 0, is_all=True).sentence()
        'none of their requests in the records of the last day'
        >>> Seen(1_200, 0, is_all=False).sentence()
        'at least 1,200 requests of theirs in the records of the last day, the last 1970-01-01 \
00:00:00 UTC'
        """
        if not self.n:
            looked = "" if self.is_all else f" among the newest {MOST_RECORDS:,}"
            return f"none of their requests in the records of the last day{looked}"
        least = "" if self.is_all else "at least "
        last = datetime.fromtimestamp(self.last_ms / 1_000, UTC)
        return (
            f"{least}{self.n:,} requests of theirs in the records of the last day, "
            f"the last {last:%Y-%m-%d %H:%M:%S} UTC"
        )


def refusal_of(shelf: Shelf, channels: Channels, use_case: str, release: int) -> Refusal:
    """Whom serving a former champion again would refuse: who speaks a contract after its own.

    Raises
    ------
    PlatformError
        If its manifest cannot be read.
    """
    state, back = channels.state(use_case), read_manifest(shelf.bundle(use_case, release))
    left = {n: major for n, major in _answering(shelf, use_case, state)}
    refused = {n: major for n, major in left.items() if major > back.contract.major}
    return Refusal(
        majors=tuple(sorted(set(refused.values()))),
        releases=tuple(sorted(refused)),
        sources=_sources(shelf, channels, use_case, back),
    )


def _answering(shelf: Shelf, use_case: str, state: ChannelState) -> Iterator[tuple[int, int]]:
    """Releases that answer callers, each with the major that they speak."""
    for release in (state.champion, *(kept.release for kept in state.older)):
        if release is not None:
            try:
                yield release, read_manifest(shelf.bundle(use_case, release)).contract.major
            except PlatformError:  # it answers nobody
                continue


def _sources(shelf: Shelf, channels: Channels, use_case: str, back: Manifest) -> tuple[str, ...]:
    """Sources whose newest major would be taken no more."""
    others = {name: state for name, state in channels.use_cases.items() if name != use_case}
    rest = channels.model_copy(update={"use_cases": others})
    after = newest([*sources_served(shelf, rest), *back.contract.sources])
    now = newest(sources_served(shelf, channels))
    known = ((name, source) for name, source in sorted(now.items()) if name in after)
    return tuple(name for name, source in known if source.major > after[name].major)


def seen_by(
    layout: Layout,
    use_case: str,
    releases: Collection[int],
    *,
    now_ms: int,
    most: int = MOST_RECORDS,
) -> Seen:
    """Answers of some releases in the last day, by the records that are on this machine.

    Where a use case keeps records of a share of its entities, they are of that share.
    """
    n = last_ms = n_looked = 0
    for path in _newest_first(layout.records(use_case), now_ms - DAY_MS):
        for payload in _payloads(path):
            n_looked += 1
            record = json.loads(payload)  # what is asked of it stands alike in every version
            at_ms = record["received_at_ms"]
            if at_ms >= now_ms - DAY_MS and record["model"]["release"] in releases:
                n, last_ms = n + 1, max(last_ms, at_ms)
        if n_looked >= most:
            return Seen(n, last_ms, is_all=False)
    return Seen(n, last_ms, is_all=True)


def _payloads(path: Path) -> list[bytes]:
    try:
        return [payload for _, payload in scan(path)]
    except FileNotFoundError:  # sealed or shipped meanwhile: what is newer tells enough
        return []


def _newest_first(directory: Path, from_ms: int) -> list[Path]:
    """Segments that were written to since, open ones and shipped ones too."""
    found: dict[Path, int] = {}
    for folder in (directory, directory / SHIPPED):
        for path in folder.glob("*-*.*"):
            try:
                found[path] = path.stat().st_mtime_ns // 1_000_000
            except FileNotFoundError:
                continue
    young = [path for path, at_ms in found.items() if at_ms >= from_ms]
    return nlargest(len(young), young, key=lambda path: found[path])
