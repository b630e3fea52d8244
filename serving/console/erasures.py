"""Pages of erasures: who was forgotten, by token alone; what was done where, and the proof."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from core.access import EVERY_USE_CASE
from core.erasing.erasure import Certificate, Journal
from core.errors import PlatformError
from serving.console.pages import Asking, Drawn, Page, Sent
from serving.errors import NotFoundError
from stores.erasing.erasures import Erasures, verified
from stores.keys.signing import KeyRing

_ID = re.compile(r"[0-9a-f]{20}")
_CERTIFICATE = re.compile(r"certificate-\d{1,15}\.json")


@dataclass(frozen=True)
class Proof:
    """A certificate's file: what it says when its signature holds, else what is wrong with it."""

    name: str
    certificate: Certificate | None
    trouble: str = ""

    @property
    def verdict(self) -> str:
        """In two words."""
        if self.certificate is None:
            return "does not verify"
        return "complete, verified" if self.certificate.is_complete else "not complete"

    @property
    def kind(self) -> str:
        """Colour of the verdict."""
        return {"complete, verified": "good", "not complete": "warn"}.get(self.verdict, "bad")


@dataclass(frozen=True)
class Erasure:
    """An erasure: how far it is, its certificates, the newest first."""

    journal: Journal
    proofs: tuple[Proof, ...]
    is_busy: bool

    @property
    def state(self) -> str:
        """In words."""
        if self.journal.is_over:
            return "over"
        return "under way" if self.is_busy else "cut short"

    @property
    def kind(self) -> str:
        """Colour of the state."""
        return {"over": "good", "under way": "mute", "cut short": "bad"}[self.state]


def overview(asked: Asking) -> Drawn:
    """Every erasure, those that are not over first, then the newest."""
    asked.require("audit", EVERY_USE_CASE)
    erasures, ring = Erasures(asked.home.layout), asked.home.keys()
    found = [_erasure(erasures, journal, ring) for journal in erasures.all()]
    found.sort(key=lambda each: (each.journal.is_over, -each.journal.begun_at_ms))
    return Drawn("erasures.html", {"erasures": found})


def _erasure(erasures: Erasures, journal: Journal, ring: KeyRing) -> Erasure:
    paths = erasures.certificates(journal.tombstone.erasure_id)
    proofs = tuple(_proof(path, ring) for path in reversed(paths))
    return Erasure(journal, proofs, is_busy=erasures.is_busy())


def _proof(path: Path, ring: KeyRing) -> Proof:
    try:
        return Proof(path.name, verified(path, ring))
    except PlatformError as error:
        return Proof(path.name, None, str(error))


def erasure_of(asked: Asking) -> Drawn:
    """One erasure: every step, every model, every certificate."""
    asked.require("audit", EVERY_USE_CASE)
    erasures = Erasures(asked.home.layout)
    journal = _journal(asked, erasures)
    return Drawn("erasure.html", {"each": _erasure(erasures, journal, asked.home.keys())})


def _journal(asked: Asking, erasures: Erasures) -> Journal:
    name = asked.path["erasure"]
    journal = erasures.journal(name) if _ID.fullmatch(name) else None
    if journal is None:
        raise NotFoundError(
            "there is no such erasure here",
            remedy="the list of erasures has them all, by token",
            code="unknown_erasure",
        )
    return journal


def certificate_of(asked: Asking) -> Sent:
    """A certificate's file as it was signed, to be kept with the request or checked elsewhere."""
    asked.require("audit", EVERY_USE_CASE)
    erasures = Erasures(asked.home.layout)
    journal = _journal(asked, erasures)
    name = asked.path["certificate"]
    there = {path.name: path for path in erasures.certificates(journal.tombstone.erasure_id)}
    if not _CERTIFICATE.fullmatch(name) or name not in there:
        raise NotFoundError(
            "there is no such certificate here", remedy="the page of the erasure names them"
        )
    return Sent(there[name].read_bytes(), "application/json")


PAGES = (
    Page("/erasures", overview, verb="audit"),
    Page("/erasures/{erasure}", erasure_of, verb="audit"),
    Page("/erasures/{erasure}/{certificate}", certificate_of, verb="audit"),
)
