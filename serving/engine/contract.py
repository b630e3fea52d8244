"""The contract of a request: compiled from the bundle, the same checks as on every way in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from core.clock import MINUTE_MS
from core.contracts import EVENT_ID, FieldSpec
from core.rows.column_checks import column_check_of
from core.rows.field_checks import RefusedValue, check_of
from serving.errors import BrokenContractError, FieldFault
from serving.telemetry.tracing import Trace
from stores.shelf.bundle import Contract

TOLERANCE_MS = 5 * MINUTE_MS
_FIELDS = frozenset({"entities", "inputs", "at", "explain", EVENT_ID})
_PLAIN = ("entities", "inputs")
_AT = FieldSpec(name="at", type="timestamp")
EVENT_ID_SPEC = FieldSpec(name=EVENT_ID, type="string")
"""As sources have it: a label names its example by this id, so a record can be joined to it."""


class Arm(NamedTuple):
    """Where in a rollout a request was assigned. Its channel says which arm."""

    experiment: str
    stage: int


class Point(NamedTuple):
    """One thing to decide about. ``keys`` are the join keys of every entity, by name.

    ``event_id`` names the event that it is about, None where the caller did not say; ``arm`` is
    the place in a rollout that it was assigned to.
    """

    keys: Mapping[str, str | int]
    inputs: Mapping[str, float | int | None]
    at_ms: int
    received_at_ms: int
    is_explained: bool = False
    trace: Trace | None = None
    event_id: str | None = None
    arm: Arm | None = None

    @property
    def is_of_now(self) -> bool:
        """Whether the caller named no instant, or just that of receipt."""
        return self.at_ms == self.received_at_ms


_point: Callable[[Iterable[object]], Point] = partial(tuple.__new__, Point)
"""Of its fields in order: a third of what it takes to name them."""


class RequestContract:
    """Checks raw requests of one release. Never raises anything but ``BrokenContractError``.

    Parameters
    ----------
    contract
        Join keys and request fields that a request must carry.
    is_any_time
        Take any ``at``; otherwise one within 5 minutes of now.
    """

    def __init__(self, contract: Contract, *, is_any_time: bool) -> None:
        self.contract = contract
        self._is_any_time = is_any_time
        self._keys = _Part("/entities", contract.keys)
        self._inputs = _Part("/inputs", contract.inputs)
        self._check_at = check_of(_AT)
        self._check_event_id = check_of(EVENT_ID_SPEC)

    def point(
        self,
        raw: object,
        *,
        now_ms: int,
        pointer: str = "",
        trace: Trace | None = None,
        arm: Arm | None = None,
    ) -> Point:
        """Point of a raw request.

        Raises
        ------
        BrokenContractError
            With every field that does not fit, its pointer below ``pointer``.
        """
        faults: list[FieldFault] = []
        if not isinstance(raw, dict):
            raise BrokenContractError([FieldFault(pointer, "malformed", "must be an object")])
        if not _FIELDS.issuperset(raw):
            faults.append(FieldFault(pointer, "unknown_field", _only(_FIELDS)))
        keys = self._keys.values(raw.get("entities"), pointer, faults)
        inputs = self._inputs.values(raw.get("inputs", {}), pointer, faults)
        at, named = raw.get("at"), raw.get(EVENT_ID)
        at_ms = now_ms if at is None else self._at_ms(at, now_ms, pointer, faults)
        is_explained = raw.get("explain", False)
        if not isinstance(is_explained, bool):
            faults.append(FieldFault(f"{pointer}/explain", "wrong_type", "must be true or false"))
        event_id = None if named is None else self._event_id(named, pointer, faults)
        if faults:
            raise BrokenContractError(faults)
        return Point(keys, inputs, at_ms, now_ms, is_explained, trace, event_id, arm)

    def points(
        self, raws: Sequence[Any], *, now_ms: int, trace: Trace | None, arm: Arm | None
    ) -> list[Point] | None:
        """Points of raw requests of which all is in order, seen at once: a fifth of one by one.

        None where that cannot be said of each, by whatever reason: `point` says it of one. So it
        is of those that say more than entities and inputs, or in another order than is declared.
        """
        if not _have(raws, _PLAIN):
            return None
        entities, inputs = ([raw[name] for raw in raws] for name in _PLAIN)
        if not (self._keys.are_plain(entities) and self._inputs.are_plain(inputs)):
            return None
        of_all = (now_ms, now_ms, False, trace, None, arm)
        return [*map(_point, zip(entities, inputs, *map(repeat, of_all)))]  # noqa: B905 - endless

    def _event_id(self, raw: object, pointer: str, faults: list[FieldFault]) -> str | None:
        try:
            return str(self._check_event_id(raw))
        except RefusedValue as refused:
            faults.append(FieldFault(f"{pointer}/{EVENT_ID}", refused.code, refused.message))
            return None

    def _at_ms(self, raw: object, now_ms: int, pointer: str, faults: list[FieldFault]) -> int:
        try:
            at_ms = int(self._check_at(raw))
        except RefusedValue as refused:
            faults.append(FieldFault(f"{pointer}/at", refused.code, refused.message))
            return now_ms
        if not self._is_any_time and abs(at_ms - now_ms) > TOLERANCE_MS:
            side = "before" if at_ms < now_ms else "after"
            message = (
                f"must lie within {TOLERANCE_MS // MINUTE_MS} minutes of the instant of receipt; "
                f"lies {abs(at_ms - now_ms)} ms {side} it"
            )
            faults.append(FieldFault(f"{pointer}/at", "at_out_of_range", message))
        return at_ms


class _Part:
    """An object of the request: declared fields only, each by its check."""

    def __init__(self, pointer: str, specs: tuple[FieldSpec, ...]) -> None:
        self._pointer = pointer
        self._known = frozenset(spec.name for spec in specs)
        self._checks: tuple[tuple[str, bool, Callable[[Any], Any]], ...] = tuple(
            (spec.name, spec.is_nullable, check_of(spec)) for spec in specs
        )
        self._columns = [(spec.name, column_check_of(spec)) for spec in specs]
        self._names = tuple(spec.name for spec in specs)

    def are_plain(self, raws: Sequence[Any]) -> bool:
        """Whether many raw objects have all declared fields in order, each taken as it stands."""
        return _have(raws, self._names) and all(
            check([raw[name] for raw in raws]) for name, check in self._columns
        )

    def values(self, raw: object, pointer: str, faults: list[FieldFault]) -> dict[str, Any]:
        if not isinstance(raw, dict):
            self._add(faults, pointer, None, "malformed", "must be an object")
            return {}
        if not self._known.issuperset(raw):  # the unknown name itself is input: not repeated
            self._add(faults, pointer, None, "unknown_field", _only(self._known))
        values: dict[str, Any] = {}
        for name, is_nullable, check in self._checks:
            value = raw.get(name)
            if value is None:
                if not is_nullable:
                    code = "null_field" if name in raw else "missing_field"
                    self._add(faults, pointer, name, code, "must be there")
                values[name] = None
                continue
            try:
                values[name] = check(value)
            except RefusedValue as refused:
                self._add(faults, pointer, name, refused.code, refused.message)
        return values

    def _add(
        self, faults: list[FieldFault], pointer: str, name: str | None, code: str, message: str
    ) -> None:
        place = self._pointer if name is None else f"{self._pointer}/{name}"
        faults.append(FieldFault(pointer + place, code, message))


def _have(raws: Sequence[Any], names: tuple[str, ...]) -> bool:
    """Whether all are objects of these members in this order."""
    return {*map(type, raws)} == {dict} and [*map(tuple, raws)] == [names] * len(raws)


def _only(names: frozenset[str]) -> str:
    return f"may hold {', '.join(sorted(names))} only" if names else "must be empty or left out"
