"""Rows of every major of a source's contract, as rows of its present one; and which may follow.

What is kept in a log stays as it was sent: a row is checked by the contract that it was written
by, then made a row of the present one, which checks it again. So a replay, a landed file and an
event read today give the same row, and a payload sent twice has one digest, whatever was declared
in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from core.contracts import (
    EVENT_ID,
    EVENT_TIMESTAMP,
    FieldSpec,
    FormerContract,
    Reference,
    Source,
    check_declaration,
)
from core.errors import ConfigurationError, InvalidInputError
from core.interface import Change, Compatibility, Word, field_changes, word_for
from core.mapping import Mapping as RowMapping
from core.mapping import RowMapper, check_columns, check_target
from core.rows.field_mapping import taken_from
from core.rows.row_parser import ParsedRow, RowParser, Violation
from core.versions import parts_of, said_version

CONTRACT_KEY = "@contract"
"""Where a line of a log says its major, where that is not 1. No field can be called so."""

_ALWAYS_THERE = (EVENT_ID, EVENT_TIMESTAMP)
_NAMING_CLASSES = ("personal", "sensitive")


class Spoken(NamedTuple):
    """What a sender's rows are written by. ``former`` is None where it is the present contract."""

    source: Source
    former: FormerContract | None = None


def spoken(source: Source, said: str | None, now_ms: int) -> Spoken:
    """Contract that a sender speaks, by what it says; the oldest declared where it says nothing.

    So senders from before there were two go on, and nobody's rows change their meaning.

    Raises
    ------
    InvalidInputError
        ``unknown_contract`` where none is declared so, ``contract_ended`` where its day is over.

    Examples
    --------
    >>> spoken(Source(name="s", description="", owner="", fields=()), "1", 0).former is None
    True
    """
    if said is None:
        wanted = min((each.major for each in source.former), default=source.major)
        minor = 0
    else:
        wanted, minor = said_version(said) or (0, 0)
    former = source.former_of(wanted)
    version = source.version if wanted == source.major else former.version if former else "0.0"
    if not wanted or parts_of(version) < (wanted, minor):
        raise _unknown(source, now_ms)
    if former is None:
        return Spoken(source)
    if former.until_ms <= now_ms:
        raise InvalidInputError(
            f"contract {wanted} of source {source.name} is taken no more",
            found=f"its time was over on {former.until}",
            remedy=f"send rows of contract {source.major}, and say so",
            code="contract_ended",
        )
    return Spoken(source.as_of(wanted), former)


def _unknown(source: Source, now_ms: int) -> InvalidInputError:
    taken = [f"{e.version} until {e.until}" for e in source.former if e.until_ms > now_ms]
    return InvalidInputError(
        f"source {source.name} has no such contract",
        found=f"taken: {', '.join([*taken, source.version])}",
        remedy="say one of these",
        code="unknown_contract",
    )


def newest(sources: Iterable[Source]) -> dict[str, Source]:
    """Sources by name; of one that releases know in several versions the newest.

    Of equal ones the last.
    """
    found: dict[str, Source] = {}
    for source in sources:
        known = found.get(source.name)
        if known is None or parts_of(source.version) >= parts_of(known.version):
            found[source.name] = source
    return found


class FormerRows:
    """Rows of a former contract: checked as they were sent, then made rows of the present."""

    def __init__(self, source: Source, former: FormerContract, present: RowParser) -> None:
        self._sent = RowParser(source.as_of(former.major))
        self._present = present
        self._mapper = RowMapper(_to_present(source, former))

    def parse(
        self, raw: object, *, now_ms: int | None = None, is_digested: bool = True
    ) -> ParsedRow | Violation:
        """Row of the present contract, with the digest of what was sent."""
        sent = self._sent.parse(raw, now_ms=now_ms, is_digested=is_digested)
        return sent if isinstance(sent, Violation) else self.present(sent)

    def sent(self, raw: object, *, now_ms: int | None = None) -> ParsedRow | Violation:
        """Row as it was sent, if the present contract takes what it comes to."""
        sent = self._sent.parse(raw, now_ms=now_ms)
        if isinstance(sent, Violation):
            return sent
        present = self.present(sent)
        return present if isinstance(present, Violation) else sent

    def present(self, sent: ParsedRow) -> ParsedRow | Violation:
        """Row of the present contract that a row of the former one comes to."""
        values = dict(zip(self._sent.names, sent.values, strict=True))
        values |= {EVENT_ID: sent.event_id, EVENT_TIMESTAMP: sent.event_ms}
        mapped = self._mapper.apply(values)
        if isinstance(mapped, Violation):
            return mapped
        row = self._present.parse(mapped, is_digested=False)
        if isinstance(row, Violation):
            return row
        return row._replace(payload_digest=sent.payload_digest)


class VersionedParser:
    """Checks of a source's rows by every contract that it declares. Pure; may be shared.

    Raises
    ------
    ConfigurationError
        If the declaration contradicts itself.

    Examples
    --------
    >>> from core.contracts import FieldSpec
    >>> from core.rows.field_mapping import taken_from
    >>> euros = FieldSpec(name="amount", type="string")
    >>> cents = FieldSpec(name="amount_minor", type="int64")
    >>> before = FormerContract(version="1.0", fields=(euros,), since="2026-01-01",
    ...     until="2026-04-01", rows={"amount_minor": taken_from("amount", "to_minor_units")})
    >>> source = Source(name="payments", description="", owner="", fields=(cents,),
    ...     version="2.0", former=(before,))
    >>> parser = VersionedParser(source)
    >>> parser.parse({"event_id": "e1", "event_timestamp": 5, "amount": "2.50"}, said=1).values
    (250,)
    >>> row = {"event_id": "e2", "event_timestamp": 5, "amount_minor": 250, "@contract": 2}
    >>> parser.parse(row, said=1).values
    (250,)
    """

    def __init__(self, source: Source) -> None:
        check_former(source)
        self.source = source
        self.present = RowParser(source)
        self.former = {f.major: FormerRows(source, f, self.present) for f in source.former}

    def parse(
        self,
        raw: Mapping[str, Any],
        *,
        said: int,
        mapper: RowMapper | None = None,
        now_ms: int | None = None,
        is_digested: bool = True,
    ) -> ParsedRow | Violation:
        """Row of the present contract that a kept record comes to; never raises.

        Parameters
        ----------
        raw
            Record as it was kept. What it says itself of its contract counts.
        said
            Major of records that say nothing.
        mapper
            Makes rows of that contract out of a file's records; None where they are such rows.
        now_ms, is_digested
            As in `RowParser.parse`.
        """
        major: object = said
        if CONTRACT_KEY in raw:
            major = raw[CONTRACT_KEY]
            raw = {name: value for name, value in raw.items() if name != CONTRACT_KEY}
        row = raw if mapper is None else mapper.apply(raw)
        if isinstance(row, Violation):
            return row
        if major == self.source.major:
            return self.present.parse(row, now_ms=now_ms, is_digested=is_digested)
        former = self.former.get(major) if isinstance(major, int) else None
        if former is None:
            return Violation("unknown_contract", "", "is of a contract that is not declared")
        return former.parse(row, now_ms=now_ms, is_digested=is_digested)


def _to_present(source: Source, former: FormerContract) -> RowMapping:
    """How a row of a former contract becomes one of the present."""
    named = {name: taken_from(name) for name in _ALWAYS_THERE}
    had = {spec.name for spec in former.fields}
    same = {spec.name: taken_from(spec.name) for spec in source.fields if spec.name in had}
    return RowMapping(source=source.name, fields={**named, **same, **former.rows})


def check_former(source: Source) -> None:
    """Refuse former contracts of which no row of the present one can come.

    Raises
    ------
    ConfigurationError
        If two are of one major, or one is not before the present; if it is over before it began;
        if a field has another type under the same name (a table has one column a name); or if a
        field that must be there comes from nothing, or from a column that there was not.
    """
    majors = [former.major for former in source.former]
    if len(set(majors)) < len(majors) or any(major >= source.major for major in majors):
        raise _wrong(source, f"contracts {majors} before {source.major}", "give each major once")
    for former in source.former:
        if former.until < former.since:
            raise _wrong(source, f"{former.version} ends before it is one", "mend `until`")
        check_declaration(source.as_of(former.major))
        _check_fields(source, former)
        mapping = _to_present(source, former)
        check_target(mapping, source)
        check_columns(mapping, [*_ALWAYS_THERE, *(spec.name for spec in former.fields)])
        RowMapper(mapping)


def _check_fields(source: Source, former: FormerContract) -> None:
    were = {spec.name: spec.type for spec in former.fields}
    for spec in source.fields:
        was, rule = were.get(spec.name, spec.type), former.rows.get(spec.name)
        if was != spec.type:
            raise _wrong(
                source,
                f"{spec.name} is {spec.type}, and was {was} in {former.version}",
                "give the new field a name of its own: a table has one column a name",
            )
        if rule is not None and rule.convert and spec.column_class in _NAMING_CLASSES:
            raise _wrong(
                source,
                f"{spec.name} is {spec.column_class}, and converted from {former.version}",
                "take it as it is: who is forgotten is looked for in logs by one spelling",
            )


def _wrong(source: Source, found: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"source {source.name} declares its former contracts wrongly", found=found, remedy=remedy
    )


def as_in_table(source: Source) -> Source:
    """The source as its table may hold it: rows from before a major are what was taken then.

    Examples
    --------
    >>> from core.contracts import FieldSpec
    >>> was, way = FieldSpec(name="x", type="int64"), FieldSpec(name="way", type="string")
    >>> before = FormerContract(version="1.0", fields=(was,), since="2026-01-01",
    ...     until="2026-04-01")
    >>> now = was.model_copy(update={"minimum": 1.0})
    >>> source = Source(name="s", description="", owner="", fields=(now, way), version="2.0",
    ...     former=(before,))
    >>> [(spec.minimum, spec.is_nullable) for spec in as_in_table(source).fields]
    [(None, False), (None, True)]
    """
    fields = source.fields
    for former in source.former:
        were = {spec.name: spec for spec in former.fields}
        fields = tuple(_either(spec, were.get(spec.name)) for spec in fields)
    return source.model_copy(update={"fields": fields})


def _either(now: FieldSpec, was: FieldSpec | None) -> FieldSpec:
    """A field that takes what either takes; null where there was none."""
    if was is None:
        return now.model_copy(update={"is_nullable": True})
    lows, highs = (was.minimum, now.minimum), (was.maximum, now.maximum)
    has_values = bool(was.allowed and now.allowed)
    changes = {
        "is_nullable": was.is_nullable or now.is_nullable,
        "minimum": None if None in lows else min(bound for bound in lows if bound is not None),
        "maximum": None if None in highs else max(bound for bound in highs if bound is not None),
        "max_length": max(was.max_length, now.max_length),
        "pattern": now.pattern if was.pattern == now.pattern else None,
        "allowed": tuple(dict.fromkeys((*was.allowed, *now.allowed))) if has_values else (),
    }
    return now.model_copy(update=changes)


def following_sources(
    after: Sequence[Source], served: Sequence[Source], now_ms: int
) -> list[Compatibility]:
    """How sources follow those of the same names whose rows are taken now, each by its rule."""
    known = newest(served)
    return [following_source(s, known[s.name], now_ms) for s in after if s.name in known]


def following_source(after: Source, before: Source, now_ms: int) -> Compatibility:
    """Whether a source may follow one whose rows are taken now, as a use case's contract may.

    Senders of the one before must be taken: by the same major, or as a former one. So must those
    of former contracts whose day is not over.

    Examples
    --------
    >>> from core.contracts import FieldSpec
    >>> amount = FieldSpec(name="amount_minor", type="int64", maximum=500)
    >>> one = Source(name="payments", description="", owner="", fields=(amount,))
    >>> narrower = amount.model_copy(update={"maximum": 100.0})
    >>> following_source(one.model_copy(update={"fields": (narrower,)}), one, 0).sentence()
    'contract 1.0 of events of payments breaks callers of 1.0: /amount_minor takes up to 100, \
before 500; declare version 2.0, or take the change back'
    """
    dropped = _dropped(after, before, now_ms)
    if dropped:
        return _compatibility(dropped, after, "drops")
    if after.major > before.major:
        own = following_source(after.as_of(before.major), _without_former(before), now_ms)
        if not own.is_allowed:
            return own
    changes = tuple(_changes(before, after))
    word = word_for(before.version, after.version, changes)
    return _compatibility(before.version, after, word, changes)


def _dropped(after: Source, before: Source, now_ms: int) -> str:
    """Version whose rows would be taken no more though nobody was told so; empty for none."""
    for former in before.former:
        kept = after.former_of(former.major)
        if former.until_ms > now_ms and (kept is None or kept.until < former.until):
            return former.version
    is_new = after.major > before.major
    return before.version if is_new and after.former_of(before.major) is None else ""


def _without_former(source: Source) -> Source:
    return source.model_copy(update={"former": ()})


def _compatibility(
    before: str, after: Source, word: Word, changes: tuple[Change, ...] = ()
) -> Compatibility:
    of = f"events of {after.name}"
    return Compatibility(before=before, after=after.version, word=word, changes=changes, of=of)


def _changes(before: Source, after: Source) -> Iterator[Change]:
    """Differences that a sender could trip over or be glad of; each by a pointer into an event."""
    yield from field_changes("", before.fields, after.fields)
    were = {spec.name: spec.type for spec in before.fields}
    for spec in after.fields:
        if (were.get(spec.name), spec.type) == ("int64", "float64"):  # elsewhere this is harmless
            what = "needs a name of its own: the table's column of this name holds whole numbers"
            yield Change(where=f"/{spec.name}", what=what, is_breaking=True)
    for reference in after.references:
        if reference not in before.references:
            yield Change(where=_pointer(reference), what=_exists(reference), is_breaking=True)
    for reference in before.references:
        if reference not in after.references:
            what = f"need not be in {reference.source} any more"
            yield Change(where=_pointer(reference), what=what, is_breaking=False)


def _pointer(reference: Reference) -> str:
    return "/" + ",".join(reference.columns)


def _exists(reference: Reference) -> str:
    return f"must be in {reference.source}, before it need not"
