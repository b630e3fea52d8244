"""The contract of a source: what a row must look like, on every way in."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from core.clock import date_start_ms
from core.errors import ConfigurationError
from core.features.plan import ColumnType, Frozen
from core.rows.field_mapping import FieldMapping
from core.versions import FIRST_VERSION, VERSION_PATTERN, is_first, major_of

ColumnClass = Literal["public", "internal", "personal", "sensitive"]

EVENT_ID = "event_id"
EVENT_TIMESTAMP = "event_timestamp"

RESERVED_NAMES = frozenset(
    {
        EVENT_ID,
        EVENT_TIMESTAMP,
        "ingested_at",
        "available_at",
        "position",
        "partition",
        "payload_digest",
        "event_date",
    }
)
"""Columns that every events table has; no field may bear their names."""

RAW_RETENTION_DAYS = 90

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def _is_empty(declared: Sequence[object]) -> bool:
    return not declared


def _is_absent(days: int | None) -> bool:
    return days is None


def _is_usual(days: int) -> bool:
    return days == RAW_RETENTION_DAYS


class FieldSpec(Frozen):
    """One column of a source. ``minimum`` and ``maximum`` are inclusive."""

    name: str
    type: ColumnType
    column_class: ColumnClass = "internal"
    is_nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = 256
    pattern: str | None = None
    allowed: tuple[str, ...] = ()
    description: str = ""


class Reference(Frozen):
    """Values of ``columns`` must exist in ``target_columns`` of another source."""

    columns: tuple[str, ...]
    source: str
    target_columns: tuple[str, ...]


class FormerContract(Frozen):
    """The contract of a source's rows under a major before the present one.

    Its rows are read for as long as it is declared, and taken from senders until a day.

    Attributes
    ----------
    version
        ``major.minor`` that it had last.
    fields
        Its fields, as the source declared them then.
    since, until
        UTC dates: the first on which it is a former one, and the first on which nobody's rows of
        it are taken any more.
    rows
        Where fields of the present contract come from in a row of it. Those that are not named
        come from the field of the same name; one without any is null.
    """

    version: str = Field(pattern=VERSION_PATTERN)
    fields: tuple[FieldSpec, ...]
    since: str
    until: str
    rows: dict[str, FieldMapping] = Field(default_factory=dict)

    @field_validator("since", "until")
    @classmethod
    def _is_a_date(cls, day: str) -> str:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", day) is None:
            raise ValueError("write a date as 2027-03-31")
        date_start_ms(day)
        return day

    @property
    def major(self) -> int:
        """Which contract it is."""
        return major_of(self.version)

    @property
    def since_ms(self) -> int:
        """Instant from which it is a former one."""
        return date_start_ms(self.since)

    @property
    def until_ms(self) -> int:
        """Instant from which no rows of it are taken."""
        return date_start_ms(self.until)


class Source(Frozen):
    """A log of rows with one contract.

    ``event_id``, ``event_timestamp`` are always there (declared once, here, not as
    fields); ``fields`` are the payload columns, entity keys among them. ``version`` is that of
    the contract, ``former`` are those of majors before it that are still read
    (`core.rows.event_versions`); both are written where they are declared.

    Accepted rows, and the tiles made of them, are kept ``retention_days``; what came as it
    came (refused rows, epochs of the log, landed files) ``raw_retention_days``, and never
    longer than the rows. Landed files go to the cold tier, where there is one,
    ``raw_cold_after_days`` after they came; None for never. These two numbers are written where
    they are not the usual ones, and the ``licence`` that the rows are used under where one is
    declared, so manifests from before they were there keep their digest.
    """

    name: str
    description: str
    owner: str
    fields: tuple[FieldSpec, ...]
    references: tuple[Reference, ...] = ()
    partitions: int = 1
    is_empty_allowed: bool = False
    retention_days: int = Field(default=365, ge=1)
    raw_retention_days: int = Field(default=RAW_RETENTION_DAYS, ge=1, exclude_if=_is_usual)
    raw_cold_after_days: int | None = Field(default=None, ge=1, exclude_if=_is_absent)
    licence: str = Field(default="", max_length=200, exclude_if=_is_empty)
    version: str = Field(default=FIRST_VERSION, pattern=VERSION_PATTERN, exclude_if=is_first)
    former: tuple[FormerContract, ...] = Field(default=(), exclude_if=_is_empty)

    @property
    def major(self) -> int:
        """Which contract its rows keep."""
        return major_of(self.version)

    def former_of(self, major: int) -> FormerContract | None:
        """Former contract of a major; None where none is declared."""
        return next((each for each in self.former if each.major == major), None)

    def as_of(self, major: int) -> Source:
        """The source as rows of a major are written.

        Raises
        ------
        ConfigurationError
            If neither it nor a former contract is of that major.
        """
        if major == self.major:
            return self
        former = self.former_of(major)
        if former is None:
            known = ", ".join([*(each.version for each in self.former), self.version])
            raise ConfigurationError(
                f"source {self.name} declares no contract {major}",
                found=f"contracts {known}",
                remedy=f"declare in `former` what becomes of rows of contract {major}",
                code="unknown_contract",
            )
        changes = {"version": former.version, "fields": former.fields, "former": ()}
        return self.model_copy(update=changes)

    @property
    def raw_days(self) -> int:
        """Days that what came is kept as it came."""
        return min(self.raw_retention_days, self.retention_days)

    def field(self, name: str) -> FieldSpec:
        """Field called ``name``; KeyError when the contract has none."""
        for spec in self.fields:
            if spec.name == name:
                return spec
        raise KeyError(name)


def check_declaration(source: Source) -> None:
    """Refuse a contract that contradicts itself, before any row meets it.

    Raises
    ------
    ConfigurationError
        For a name that is reserved, declared twice or not ``[a-z][a-z0-9_]*``; a pattern that
        does not compile; a rule that the field's type cannot have; bounds that let nothing by.

    Examples
    --------
    >>> check_declaration(Source(name="s", description="", owner="", fields=(
    ...     FieldSpec(name="position", type="int64"),)))
    Traceback (most recent call last):
        ...
    core.errors.ConfigurationError: source s declares field position wrongly; found a name \
that every events table already has; rename the field
    """
    seen: set[str] = set()
    for spec in source.fields:
        fault = _fault_of_name(spec.name, seen) or _fault_of_rules(spec)
        if fault is not None:
            found, remedy = fault
            raise ConfigurationError(
                f"source {source.name} declares field {spec.name} wrongly",
                found=found,
                remedy=remedy,
            )
        seen.add(spec.name)


def _fault_of_name(name: str, seen: set[str]) -> tuple[str, str] | None:
    if name in RESERVED_NAMES:
        return "a name that every events table already has", "rename the field"
    if name in seen:
        return "the same name twice", "remove one of the two"
    if _NAME.fullmatch(name) is None:
        return "a name that is no column name", "use lower-case letters, digits, underscores"
    return None


def _fault_of_rules(spec: FieldSpec) -> tuple[str, str] | None:
    is_text = spec.type == "string"
    has_bounds = spec.minimum is not None or spec.maximum is not None
    if not is_text and (spec.pattern is not None or spec.allowed):
        return f"a pattern or allowed values on {spec.type}", "declare those on strings only"
    if spec.type in ("string", "bool") and has_bounds:
        return f"bounds on {spec.type}", "declare bounds on numbers and times only"
    if not _admits_something(spec):
        return "bounds or a length that no value keeps", "mend minimum, maximum or max_length"
    try:
        re.compile(spec.pattern or "")
    except re.error as error:
        return f"a pattern that does not compile ({error})", "mend the pattern"
    return None


def _admits_something(spec: FieldSpec) -> bool:
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum
    are_finite = all(math.isfinite(b) for b in (spec.minimum, spec.maximum) if b is not None)
    return are_finite and low <= high and spec.max_length >= 1
