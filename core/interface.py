"""The contract of a use case as its callers see it, and which of its changes break them.

A caller knows what a request must carry and what an answer may hold: that is an *interface*. Its
version is ``major.minor``. What a caller written for the one before could trip over is a breaking
change and needs a new major; anything else may come under the same major.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from core.contracts import FieldSpec
from core.features.plan import Frozen
from core.versions import FIRST_VERSION, VERSION_PATTERN, major_of, parts_of

KEPT_DAYS = 90

ANSWER_FIELDS = (
    "prediction_id",
    "score",
    "decision",
    "reasons",
    "model",
    "features",
    "degraded",
    "timings_ms",
)
"""What every answer has. A test holds the schema of the API to it."""


class ContractTerms(Frozen):
    """What a use case declares about its contract.

    ``version`` is ``major.minor``. When a release of a new major becomes champion, requests of
    the major before are answered for ``keeps_previous_days`` more.
    """

    version: str = Field(default=FIRST_VERSION, pattern=VERSION_PATTERN)
    keeps_previous_days: int = Field(default=KEPT_DAYS, ge=0, le=3_650)


class Interface(Frozen):
    """What callers of one release rely on."""

    version: str = Field(default=FIRST_VERSION, pattern=VERSION_PATTERN)
    keys: tuple[FieldSpec, ...]
    inputs: tuple[FieldSpec, ...]
    decisions: tuple[str, ...]
    answer: tuple[str, ...] = ANSWER_FIELDS

    @property
    def major(self) -> int:
        """Which contract it is: callers of one major are answered by any release of it."""
        return major_of(self.version)


class Change(Frozen):
    """One difference, in words: ``where`` is a pointer into a request or an answer."""

    where: str
    what: str
    is_breaking: bool

    def sentence(self) -> str:
        """Where, and what."""
        return f"{self.where} {self.what}"


Word = Literal["same", "compatible", "new_major", "breaks", "goes_back", "drops"]


def _is_empty(text: str) -> bool:
    return not text


class Compatibility(Frozen):
    """How one interface follows another. ``word`` says whether it may.

    ``of`` is what the contract is of, where it is not the use case's own: ``events of payments``.
    """

    before: str
    after: str
    word: Word
    changes: tuple[Change, ...] = ()
    of: str = Field(default="", exclude_if=_is_empty)

    @property
    def is_allowed(self) -> bool:
        """Whether a release may follow."""
        return self.word not in ("breaks", "goes_back", "drops")

    @property
    def breaking(self) -> tuple[Change, ...]:
        """Changes that a caller of the one before could trip over."""
        return tuple(change for change in self.changes if change.is_breaking)

    def sentence(self) -> str:
        """What it comes to, and what to do about it."""
        mine = f"contract {self.after}{self.of and f' of {self.of}'}"
        return f"{mine} {self._verb()}"

    def _verb(self) -> str:
        if self.word == "goes_back":
            return f"goes back behind {self.before}; declare {self.before}"
        if self.word == "drops":
            return f"no longer takes {self.before}, whose day is not over; declare it as a former"
        if self.word == "breaks":
            named = ", ".join(change.sentence() for change in self.breaking)
            return (
                f"breaks callers of {self.before}: {named}; declare "
                f"version {major_of(self.before) + 1}.0, or take the change back"
            )
        if self.word == "new_major":
            return f"after {self.before}: {len(self.breaking)} breaking"
        if self.word == "compatible":
            named = ", ".join(change.sentence() for change in self.changes)
            return f"takes callers of {self.before} ({named})"
        return "as before"


def compatibility(before: Interface, after: Interface) -> Compatibility:
    """Whether a release with the interface ``after`` may follow one with ``before``.

    Examples
    --------
    >>> card = FieldSpec(name="card_id", type="string")
    >>> amount = FieldSpec(name="amount_minor", type="int64", maximum=500)
    >>> one = Interface(keys=(card,), inputs=(amount,), decisions=("ALLOW", "BLOCK"))
    >>> wider = amount.model_copy(update={"maximum": 900.0})
    >>> compatibility(one, one.model_copy(update={"inputs": (wider,)})).sentence()
    'contract 1.0 takes callers of 1.0 (/inputs/amount_minor takes up to 900, before 500)'
    >>> less = one.model_copy(update={"inputs": ()})
    >>> compatibility(one, less).sentence()
    'contract 1.0 breaks callers of 1.0: /inputs/amount_minor is no longer taken; declare \
version 2.0, or take the change back'
    >>> compatibility(one, less.model_copy(update={"version": "2.0"})).is_allowed
    True
    """
    changes = tuple(changes_between(before, after))
    return Compatibility(
        before=before.version,
        after=after.version,
        word=word_for(before.version, after.version, changes),
        changes=changes,
    )


def following(after: Interface, served: Sequence[Interface]) -> Compatibility | None:
    """How an interface follows those that callers are answered by now; None where none is.

    It is held to the one of its own major; a new major to the newest. A major that is served no
    more does not come back.
    """
    if not served:
        return None
    newest = max(served, key=lambda each: parts_of(each.version))
    own = [each for each in served if each.major == after.major]
    return compatibility(own[0] if own else newest, after)


def word_for(before: str, after: str, changes: Sequence[Change]) -> Word:
    """What the changes from one version to another come to."""
    if parts_of(after) < parts_of(before):
        return "goes_back"
    if major_of(after) > major_of(before):
        return "new_major"
    if any(change.is_breaking for change in changes):
        return "breaks"
    return "compatible" if changes else "same"


def changes_between(before: Interface, after: Interface) -> Iterator[Change]:
    """Every difference that a caller could see; nothing for what only the inside knows.

    Order, descriptions and column classes are not seen.
    """
    yield from field_changes("/entities", before.keys, after.keys)
    yield from field_changes("/inputs", before.inputs, after.inputs)
    for decision in _besides(after.decisions, before.decisions):
        yield _breaking("/decision", f"may be {decision}, which callers do not know")
    for decision in _besides(before.decisions, after.decisions):
        yield _harmless("/decision", f"is {decision} no more")
    for name in _besides(before.answer, after.answer):
        yield _breaking(f"/{name}", "is no longer answered")
    for name in _besides(after.answer, before.answer):
        yield _harmless(f"/{name}", "is answered besides")


def _besides(these: Sequence[str], those: Sequence[str]) -> list[str]:
    return [name for name in these if name not in those]


def field_changes(
    part: str, before: tuple[FieldSpec, ...], after: tuple[FieldSpec, ...]
) -> Iterator[Change]:
    """Differences of the fields of a part of a request, each by a pointer below ``part``."""
    were, are = {spec.name: spec for spec in before}, {spec.name: spec for spec in after}
    for name, spec in were.items():
        where = f"{part}/{name}"
        if name not in are:
            yield _breaking(where, "is no longer taken")
        else:
            yield from _field(where, spec, are[name])
    for name, spec in are.items():
        if name in were:
            continue
        if spec.is_nullable:
            yield _harmless(f"{part}/{name}", "may be sent besides")
        else:
            yield _breaking(f"{part}/{name}", "must be sent, which callers do not know")


def _field(where: str, was: FieldSpec, now: FieldSpec) -> Iterator[Change]:
    if was.type != now.type:
        widens = (was.type, now.type) == ("int64", "float64")
        yield _change(where, f"is a {now.type}, before a {was.type}", is_breaking=not widens)
    if was.is_nullable != now.is_nullable:
        what = "may be null or left out" if now.is_nullable else "must be sent, before it need not"
        yield _change(where, what, is_breaking=not now.is_nullable)
    yield from _bounds(where, was, now)
    if was.type == now.type == "string":
        yield from _texts(where, was, now)


def _bounds(where: str, was: FieldSpec, now: FieldSpec) -> Iterator[Change]:
    yield from _bound(where, "from", was.minimum, now.minimum, -math.inf, max)
    yield from _bound(where, "up to", was.maximum, now.maximum, math.inf, min)


def _bound(
    where: str,
    word: str,
    was: float | None,
    now: float | None,
    none: float,
    tighter: Callable[[float, float], float],
) -> Iterator[Change]:
    if was == now:
        return
    old, new = none if was is None else was, none if now is None else now
    what = f"takes {word} {new:g}, before {old:g}"
    yield _change(where, what, is_breaking=tighter(old, new) == new)


def _texts(where: str, was: FieldSpec, now: FieldSpec) -> Iterator[Change]:
    if was.max_length != now.max_length:
        what = f"takes {now.max_length} characters, before {was.max_length}"
        yield _change(where, what, is_breaking=now.max_length < was.max_length)
    if was.pattern != now.pattern:
        # Whether one pattern takes all that another takes is not decided here.
        what = f"must match {now.pattern}" if now.pattern else "need not match a pattern"
        yield _change(where, what, is_breaking=now.pattern is not None)
    if set(was.allowed) != set(now.allowed):
        gone = sorted(set(was.allowed) - set(now.allowed)) if was.allowed else list(now.allowed)
        if now.allowed and gone:
            told = ", ".join(gone) + " no more" if was.allowed else ", ".join(gone) + " only"
            yield _breaking(where, f"takes {told}")
        else:
            yield _harmless(where, "takes more values")


def _change(where: str, what: str, *, is_breaking: bool) -> Change:
    return Change(where=where, what=what, is_breaking=is_breaking)


def _breaking(where: str, what: str) -> Change:
    return _change(where, what, is_breaking=True)


def _harmless(where: str, what: str) -> Change:
    return _change(where, what, is_breaking=False)
