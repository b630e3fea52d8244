"""Events over HTTP: checked by the source's contract, claimed by id, durable before the answer.

A crash between claim and append, or between append and answer, loses nothing: the sender
was told nothing, sends again, and the same payload is appended again. The log may then hold
an event twice; ingest and folder count an id once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from core.clock import Clock
from core.contracts import Source
from core.features.keys import entity_key
from core.ports import OnlineStore
from core.rows.event_versions import CONTRACT_KEY, VersionedParser, newest
from core.rows.row_parser import ParsedRow, Violation
from serving.engine.grouping import Groups
from serving.errors import BrokenContractError, FieldFault, ListTooLongError, NotFoundError
from serving.events.appending import Line
from serving.events.contracts import EventContract, event_contract
from serving.guard import Guard
from serving.models.releases import Releases, Served
from serving.ports import Json
from stores.log.epochs import FIRST_MAJOR
from stores.log.tail import UNPLACED
from stores.online.claims import CLAIM_MS, event_claim

MAX_EVENTS = 1_000
FEW_EVENTS = 50
"""So many are checked in a millisecond."""

Status = Literal["accepted", "duplicate", "rejected"]
_encoder = msgspec.json.Encoder()


class Appender(Protocol):
    """A source's log, as seen by who takes events."""

    async def append(self, lines: Sequence[Line]) -> list[int]:
        """Positions of ``lines``, durable when this returns."""
        ...


class Appenders(Protocol):
    """Logs of all sources."""

    def of(self, source: str) -> Appender:
        """Log of one source."""
        ...


class Result(NamedTuple):
    """What became of one event. ``position`` where it stands in the log, if it was appended.

    Over Kafka an event gets its position only when the log is read.
    """

    status: Status
    position: int | None = None
    violation: Violation | None = None

    def to_json(self) -> Json:
        """As the answer spells it; a refused value is never repeated."""
        found: Json = {"status": self.status}
        if self.position is not None:
            found["position"] = self.position
        if self.violation is not None:
            code, name, message = self.violation
            found.update(code=code, field=name, message=message)
        return found


class EventIntake:
    """Takes events of the sources that the served use cases read."""

    def __init__(
        self,
        releases: Releases,
        store: OnlineStore,
        appenders: Appenders,
        clock: Clock,
        claims: Guard,
    ) -> None:
        self._releases = releases
        self._store = store
        self._appenders = appenders
        self._clock = clock
        self._guard = claims
        self._claims: Groups[tuple[bytes, bytes], bytes | None] = Groups(
            self._claim_together, "their ids are claimed"
        )
        self._turn = asyncio.Lock()
        self._n_before = 0  # events whose turn has not come
        self._parsers: dict[str, tuple[Source, VersionedParser]] = {}

    def sources(self) -> dict[str, Source]:
        """Sources of every served use case, by name; each by its newest contract."""
        served = self._releases.roster.use_cases.values()
        return newest(s for each in served for s in _sources(each))

    def readers_of(self, source: str) -> list[str]:
        """Served use cases that read a source, so whose answers its events change."""
        served = self._releases.roster.use_cases.items()
        return [name for name, each in served if any(s.name == source for s in _sources(each))]

    def contract_of(self, source: str, said: str | None) -> EventContract:
        """What checks events that are said to keep a contract; raises as `take` does."""
        return event_contract(self._parser(source), said, self._clock.now_ms())

    async def take(self, source: str, raw: object, said: str | None = None) -> list[Result]:
        """What became of one event (an object) or many (a list), in order.

        ``said`` is the contract that they keep, None where the sender says nothing.

        Raises
        ------
        NotFoundError
            If no served use case reads the source, or it has no such contract.
        ContractEndedError
            If that contract's day is over.
        BrokenContractError, ListTooLongError
            If the list is empty or too long.
        DependencyError, OverloadedError
            If they could not be kept: all are to be sent again.
        """
        parser = self.contract_of(source, said)
        raws = raw if isinstance(raw, list) else [raw]
        _check_count(len(raws))
        # Before they are looked at: a refusal costs next to nothing.
        self._claims.admit(self._n_before + len(raws))
        parsed = await self._parsed(parser, raws)
        results: list[Result | None] = [
            Result("rejected", violation=_unnamed(each)) if isinstance(each, Violation) else None
            for each in parsed
        ]
        rows = {i: each for i, each in enumerate(parsed) if isinstance(each, ParsedRow)}
        fresh, keys = await self._claimed(source, rows, results), self._join_keys(source)
        positions = await self._appenders.of(source).append(
            [_line(parser, rows[i], keys) for i in fresh]
        ) if fresh else []  # fmt: skip
        for i, position in zip(fresh, positions, strict=True):
            status: Status = "accepted" if results[i] is None else "duplicate"
            results[i] = Result(status, None if position == UNPLACED else position)
        return [result for result in results if result is not None]

    async def _parsed(
        self, parser: EventContract, raws: Sequence[object]
    ) -> list[ParsedRow | Violation]:
        """Events by their contract. Long lists take turns, and others go in between.

        All at once they would hold the loop for so long that an answer of the store, there in
        time, would be taken for one that did not come.
        """
        now_ms = self._clock.now_ms()
        if len(raws) <= FEW_EVENTS:
            return [parser.parse(each, now_ms=now_ms) for each in raws]
        self._n_before += len(raws)
        try:
            async with self._turn:
                parsed = [parser.parse(each, now_ms=now_ms) for each in raws]
                await asyncio.sleep(0)
        finally:
            self._n_before -= len(raws)
        return parsed

    async def _claimed(
        self, source: str, rows: Mapping[int, ParsedRow], results: list[Result | None]
    ) -> list[int]:
        """Indices to append, each id once; duplicates and conflicts are put into ``results``."""
        first: dict[str, int] = {}
        for i, row in rows.items():
            first.setdefault(row.event_id, i)
        claims = {
            event_claim(source, event_id): rows[i].payload_digest.encode()
            for event_id, i in first.items()
        }
        held = await self._held(claims)
        fresh: dict[str, int] = {}
        for i, row in rows.items():
            key = event_claim(source, row.event_id)
            if held.get(key, claims[key]) != row.payload_digest.encode():
                results[i] = _conflict()
                continue
            if key in held or row.event_id in fresh:
                results[i] = Result("duplicate")
            # A duplicate too: whether its first was appended before a crash is not known.
            fresh.setdefault(row.event_id, i)
        return list(fresh.values())

    async def _held(self, claims: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """What was held already of ids that are claimed."""
        if not claims:
            return {}
        found = await self._claims.do(list(claims.items()))
        return {key: held for key, held in zip(claims, found, strict=True) if held is not None}

    async def _claim_together(
        self, claims: Sequence[tuple[bytes, bytes]]
    ) -> Sequence[bytes | None]:
        """Claims of several requests at once; of one id the first comes first, as if alone."""
        first: dict[bytes, bytes] = {}
        earlier: list[bytes | None] = []
        for key, value in claims:
            earlier.append(first.get(key))
            first.setdefault(key, value)
        held = await self._guard.call(lambda: asyncio.to_thread(self._claim, first))
        return [held.get(key, before) for (key, _), before in zip(claims, earlier, strict=True)]

    def _claim(self, claims: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        now_ms = self._clock.now_ms()
        return self._store.claim(claims, expires_in_ms=CLAIM_MS, now_ms=now_ms)

    def _join_keys(self, source: str) -> tuple[str, ...]:
        """What names the entity of the first view that reads a source: its events stay in order."""
        served = self._releases.roster.use_cases.values()
        views = (view for each in served for view in each.champion.manifest.plan.views)
        read_by = {view.name: view.join_keys for view in views if view.source == source}
        return read_by[min(read_by)] if read_by else ()

    def _parser(self, name: str) -> VersionedParser:
        source = self.sources().get(name)
        if source is None:
            raise NotFoundError(
                "no such source is read by a served use case",
                found=f"sources: {', '.join(sorted(self.sources())) or 'none'}",
                remedy="use one of these, or promote a release of the use case that reads yours",
                code="unknown_source",
            )
        known = self._parsers.get(name)
        if known is None or known[0] != source:
            known = self._parsers[name] = (source, VersionedParser(source))
        return known[1]


def _sources(served: Served) -> Iterator[Source]:
    """Sources that the releases of a use case read, the champion's word on equals last."""
    for release in (*served.older.values(), served.champion):
        yield from release.manifest.contract.sources


def _check_count(count: int) -> None:
    if not count:
        raise BrokenContractError([FieldFault("", "malformed", "must hold at least one event")])
    if count > MAX_EVENTS:
        raise ListTooLongError(
            "too many events in one request",
            found=f"{count}",
            remedy=f"send at most {MAX_EVENTS}",
        )


def _unnamed(violation: Violation) -> Violation:
    """The violation without the name of a field that is not declared: the caller made it up."""
    return violation._replace(field="") if violation.code == "unknown_field" else violation


def _conflict() -> Result:
    message = "another event with this event_id was taken before, with other values"
    return Result("rejected", violation=Violation("duplicate_conflict", "event_id", message))


def _line(parser: EventContract, row: ParsedRow, join_keys: Sequence[str]) -> Line:
    """The row as its contract reads it, so that whoever reads the log reads the same."""
    values: dict[str, Any] = dict(zip(parser.names, row.values, strict=True))
    if parser.major != FIRST_MAJOR:
        values[CONTRACT_KEY] = parser.major
    entity: list[Any] = [values.get(name) for name in join_keys]
    is_known = bool(entity) and None not in entity
    content = {"event_id": row.event_id, "event_timestamp": row.event_ms, **values}
    key = entity_key(entity) if is_known else row.event_id.encode()
    return Line(_encoder.encode(content), key)
