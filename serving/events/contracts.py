"""By which contract events are taken: the one their sender speaks, as long as it is taken."""

from __future__ import annotations

from dataclasses import dataclass

from core.contracts import FormerContract
from core.errors import InvalidInputError
from core.rows.event_versions import VersionedParser, spoken
from core.rows.row_parser import ParsedRow, Violation
from serving.engine.speaking import HEADER, older_contract_headers
from serving.errors import ContractEndedError, NotFoundError


@dataclass(frozen=True)
class EventContract:
    """Checks events of one contract of a source. ``former`` is None where it is the present."""

    parser: VersionedParser
    major: int
    names: tuple[str, ...]
    former: FormerContract | None = None

    def parse(self, raw: object, *, now_ms: int) -> ParsedRow | Violation:
        """Row as it was sent, if every contract from there to the present takes it."""
        if self.former is None:
            return self.parser.present.parse(raw, now_ms=now_ms)
        return self.parser.former[self.major].sent(raw, now_ms=now_ms)

    @property
    def headers(self) -> dict[str, str]:
        """What senders of a former contract are told: since when it is one, and until when."""
        if self.former is None:
            return {}
        former = self.former
        return older_contract_headers(former.version, former.since_ms, former.until_ms)


def event_contract(parser: VersionedParser, said: str | None, now_ms: int) -> EventContract:
    """Contract that a sender speaks.

    Raises
    ------
    NotFoundError
        If the source has none such.
    ContractEndedError
        If its day is over.
    """
    try:
        speaks = spoken(parser.source, said, now_ms)
    except InvalidInputError as error:
        kind = ContractEndedError if error.code == "contract_ended" else NotFoundError
        raise kind(
            error.wrong,
            found=error.found,
            remedy=f"{error.remedy}, by the header {HEADER}: /openapi.json",
            code=error.code,
        ) from None
    names = tuple(spec.name for spec in speaks.source.fields)
    return EventContract(parser, speaks.source.major, names, speaks.former)
