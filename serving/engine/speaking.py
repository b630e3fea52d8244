"""Which contract a request speaks, and so which release answers it."""

from __future__ import annotations

from email.utils import formatdate
from typing import NamedTuple

from core.clock import SECOND_MS, Clock, event_date
from core.errors import NotReadyError, PlatformError
from core.versions import parts_of, said_version
from serving.errors import ContractEndedError, NotFoundError
from serving.models.releases import LoadedRelease, Releases, Served
from stores.shelf.channels import KeptContract

HEADER = "throughline-contract"
"""Where a request says which contract it speaks: ``2``, or ``2.1`` where it needs that minor."""


class Speaker(NamedTuple):
    """Who answers a request, and as what. ``kept`` is None where it is the champion."""

    major: int
    release: LoadedRelease
    channel: str = "champion"
    kept: KeptContract | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What callers of an older contract are told: since when it is one, and until when."""
        if self.kept is None:
            return {}
        version = self.release.manifest.contract.version
        return older_contract_headers(version, self.kept.since_ms, self.kept.until_ms)


def older_contract_headers(version: str, since_ms: int, until_ms: int) -> dict[str, str]:
    """Headers of an answer by an older contract, by RFC 9745 (Deprecation), RFC 8594 (Sunset)."""
    return {
        HEADER: version,
        "Deprecation": f"@{since_ms // SECOND_MS}",
        "Sunset": formatdate(until_ms / SECOND_MS, usegmt=True),
    }


def older_headers(
    releases: Releases, use_case: str, said: str | None, clock: Clock
) -> dict[str, str]:
    """What an answer is labelled with that speaks an older contract; nothing else is."""
    served = releases.roster.use_cases.get(use_case)
    if served is None or not served.state.older:
        return {}
    try:
        return speaker(served, said, clock.now_ms()).headers
    except PlatformError:  # the channels changed while it was answered
        return {}


def speaker(served: Served, said: str | None, now_ms: int) -> Speaker:
    """Who answers a request that says which contract it speaks.

    One that says nothing speaks the oldest that its use case ever served beside another: callers
    from before there were two go on, and nobody's request changes its meaning.

    Raises
    ------
    NotFoundError
        If that contract is not served.
    ContractEndedError
        If its time is over.
    NotReadyError
        If the release that speaks it is not in memory yet.
    """
    older, champion = served.state.older, served.champion
    if said is None:
        if not older:
            return Speaker(champion.major, champion)
        return _older(served, older[0], now_ms)
    found = said_version(said)
    major = found.major if found else 0
    if major == champion.major:
        speaking = Speaker(major, champion)
    else:
        kept = next((each for each in older if each.major == major), None)
        if kept is None:
            raise _unknown(served, now_ms)
        speaking = _older(served, kept, now_ms)
    _, minor = parts_of(speaking.release.manifest.contract.version)
    if found and found.minor > minor:
        raise _unknown(served, now_ms)
    return speaking


def _older(served: Served, kept: KeptContract, now_ms: int) -> Speaker:
    if kept.release is None or kept.until_ms <= now_ms:
        raise ContractEndedError(
            f"contract {kept.major} is answered no more",
            found=f"its time was over on {event_date(kept.until_ms)}",
            remedy=f"speak contract {served.champion.major}, by the header {HEADER}: /openapi.json",
        )
    release = served.older.get(kept.major)
    if release is None:
        raise NotReadyError(
            f"contract {kept.major} cannot be answered now",
            found="its release is not in memory",
            remedy="ask again soon; /readyz says what is wrong, if anything is",
        )
    return Speaker(kept.major, release, kept.channel, kept)


def _unknown(served: Served, now_ms: int) -> NotFoundError:
    older = [
        f"{kept.major} until {event_date(kept.until_ms)}"
        for kept in served.state.older
        if kept.release is not None and kept.until_ms > now_ms
    ]
    version = served.champion.manifest.contract.version
    return NotFoundError(
        "that contract is not served",
        found=f"served: {', '.join([*older, version])}",
        remedy=f"say one of these in the header {HEADER}",
        code="unknown_contract",
    )
