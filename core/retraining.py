"""When a model is trained again: declared triggers, and one decision over what was seen.

A trigger *fires* when what it watches is beyond what was declared; then it starts a retraining
unless one started less than its cool-down ago, whatever started that one: two triggers that see
one change of the world make one model of it. Whatever fires, nothing starts while the data is
known to be broken (`core.monitoring.triage`), while a retraining is at work, or while a rollout is
under way, whose end decides who the next model would be compared with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from core.clock import DAY_MS, HOUR_MS, event_date
from core.features.plan import Frozen
from core.monitoring.triage import Triage

Kind = Literal["erasure", "drift", "decay", "shadow_decay", "labels", "schedule"]
Channel = Literal["champion", "shadow"]


class OnDrift(Frozen):
    """Fires on real drift, by a triage that is younger than the last retraining.

    Without a cool-down (0) every look that finds drift makes a model.
    """

    cool_down_hours: int = Field(default=72, ge=0)


class OnDecay(Frozen):
    """Fires when a release surely lost ``least_loss`` of what its metric was on its test part.

    Surely: the upper end of the 95 % interval lies below ``(1 - least_loss) * then``. A metric
    on fewer than ``least_positives`` labels of either class says nothing.
    """

    least_loss: float = Field(default=0.1, gt=0, lt=1)
    least_positives: int = Field(default=50, ge=1)
    cool_down_hours: int = Field(default=72, ge=1)


class OnLabels(Frozen):
    """Fires on so many labels that the champion has not seen, ``positives`` of them positive."""

    rows: int = Field(ge=1)
    positives: int = Field(default=1, ge=0)
    cool_down_hours: int = Field(default=72, ge=1)


class OnErasure(Frozen):
    """Fires when the champion learnt from somebody who was forgotten since.

    Requests to be forgotten come one by one; the cool-down makes one model of several.
    """

    cool_down_hours: int = Field(default=168, ge=1)


class OnSchedule(Frozen):
    """Fires when the last retraining is so many days old: they are its cool-down, too."""

    days: int = Field(ge=1)

    @property
    def cool_down_hours(self) -> int:
        """As the other triggers say it."""
        return self.days * 24


Trigger = OnErasure | OnDrift | OnDecay | OnLabels | OnSchedule


class Retraining(Frozen):
    """Triggers of a use case; one that is None never fires.

    ``decay`` watches what the champion answered, ``shadow_decay`` what the shadow would have. A
    new snapshot reaches ``history_days`` back; None: as far as windows are filled.
    """

    erasure: OnErasure | None = None
    drift: OnDrift | None = None
    decay: OnDecay | None = None
    shadow_decay: OnDecay | None = None
    labels: OnLabels | None = None
    schedule: OnSchedule | None = None
    history_days: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _can_fire(self) -> Retraining:
        if not dict(self.triggers):
            raise ValueError("no trigger is declared; leave retraining out instead")
        return self

    @property
    def triggers(self) -> tuple[tuple[Kind, Trigger], ...]:
        """Declared triggers, those that know most of what is wrong first."""
        found: tuple[tuple[Kind, Trigger | None], ...] = (
            ("erasure", self.erasure),
            ("drift", self.drift),
            ("decay", self.decay),
            ("shadow_decay", self.shadow_decay),
            ("labels", self.labels),
            ("schedule", self.schedule),
        )
        return tuple((kind, trigger) for kind, trigger in found if trigger is not None)


class Performance(Frozen):
    """A release's metric (larger is better) on labels that have matured, and on its test part.

    ``low`` and ``high`` are its 95 % interval; ``then`` is what the test part gave.
    """

    release: int
    channel: Channel
    metric: str
    value: float
    low: float
    high: float
    then: float
    n_rows: int = Field(ge=0)
    n_positive: int = Field(ge=0)


class NewLabels(Frozen):
    """Labels that became known for examples the champion was not made of."""

    rows: int = Field(ge=0)
    positives: int = Field(ge=0)


@dataclass(frozen=True)
class State:
    """Where a use case stands. ``last_ms`` is when its newest model was made.

    ``busy`` says what must end first; empty when nothing does.
    """

    champion: int | None
    last_ms: int
    busy: str = ""


@dataclass(frozen=True)
class Signals:
    """What was seen; None or nothing where nobody has looked.

    ``erased`` are releases that learnt from somebody who was forgotten since.
    """

    triage: Triage | None = None
    performances: tuple[Performance, ...] = ()
    labels: NewLabels | None = None
    erased: tuple[int, ...] = ()


@dataclass(frozen=True)
class Retrain:
    """Train again: which trigger, and why in words and numbers."""

    trigger: Kind
    why: str


@dataclass(frozen=True)
class Hold:
    """Train nothing now, and why not: what holds everything, or each trigger with its numbers."""

    reasons: tuple[str, ...]

    @property
    def why(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)


@dataclass(frozen=True)
class _Seen:
    is_fired: bool
    words: str


def retraining_decision(
    declared: Retraining, state: State, signals: Signals, *, now_ms: int
) -> Retrain | Hold:
    """Whether to train again. The first trigger that fires and has rested is the reason.

    Examples
    --------
    >>> declared = Retraining(labels=OnLabels(rows=100), schedule=OnSchedule(days=30))
    >>> state = State(champion=1, last_ms=0)
    >>> few, many = NewLabels(rows=7, positives=1), NewLabels(rows=120, positives=9)
    >>> retraining_decision(declared, state, Signals(labels=few), now_ms=DAY_MS).why
    'labels: 7 new ones, 1 positive, of 100 and 1; schedule: the last model was made 1 d ago, of 30'
    >>> retraining_decision(declared, state, Signals(labels=many), now_ms=4 * DAY_MS)
    Retrain(trigger='labels', why='120 new ones, 9 positive, of 100 and 1')
    >>> retraining_decision(declared, state, Signals(labels=many), now_ms=DAY_MS).why
    'labels: 120 new ones, 9 positive, of 100 and 1, but it rests until 1970-01-04 00:00 UTC; \
schedule: the last model was made 1 d ago, of 30'
    """
    if held := _held(state, signals):
        return Hold((held,))
    said = []
    for kind, trigger in declared.triggers:
        seen = _seen(kind, trigger, state, signals, now_ms)
        rested_ms = state.last_ms + trigger.cool_down_hours * HOUR_MS
        if seen.is_fired and now_ms >= rested_ms:
            return Retrain(kind, seen.words)
        rests = f", but it rests until {_instant(rested_ms)}" if seen.is_fired else ""
        said.append(f"{kind}: {seen.words}{rests}")
    return Hold(tuple(said))


def _held(state: State, signals: Signals) -> str:
    if signals.triage is not None and signals.triage.is_held:
        return signals.triage.words
    if state.champion is None:
        return "no release is champion: the first one is trained and signed off by people"
    return state.busy


def _seen(kind: Kind, trigger: Trigger, state: State, signals: Signals, now_ms: int) -> _Seen:
    if isinstance(trigger, OnErasure):
        return _erasure(state, signals)
    if isinstance(trigger, OnDrift):
        return _drift(state, signals)
    if isinstance(trigger, OnDecay):
        channel: Channel = "champion" if kind == "decay" else "shadow"
        return _decay(trigger, channel, state, signals)
    if isinstance(trigger, OnLabels):
        return _labels(trigger, signals)
    age_days = (now_ms - state.last_ms) // DAY_MS
    return _Seen(
        age_days >= trigger.days, f"the last model was made {age_days} d ago, of {trigger.days}"
    )


def _erasure(state: State, signals: Signals) -> _Seen:
    if state.champion not in signals.erased:
        return _Seen(is_fired=False, words="the champion learnt from nobody who was forgotten")
    words = f"release {state.champion} learnt from somebody who was forgotten since"
    return _Seen(is_fired=True, words=words)


def _drift(state: State, signals: Signals) -> _Seen:
    triage = signals.triage
    if triage is None:
        return _Seen(is_fired=False, words="nobody has looked yet")
    is_answered = triage.at_ms <= state.last_ms
    if triage.kind != "real_drift" or is_answered:
        words = "the last look is older than the last model" if is_answered else "nothing moved"
        return _Seen(is_fired=False, words=words)
    return _Seen(is_fired=True, words=triage.words)


def _decay(trigger: OnDecay, channel: Channel, state: State, signals: Signals) -> _Seen:
    found = next(_measured(channel, state, signals), None)
    if found is None:
        return _Seen(is_fired=False, words=f"the {channel} was not measured on labels yet")
    least = min(found.n_positive, found.n_rows - found.n_positive)
    if least < trigger.least_positives:
        words = f"{least} labels of the rarer class, of {trigger.least_positives}"
        return _Seen(is_fired=False, words=words)
    limit = (1 - trigger.least_loss) * found.then
    return _Seen(
        found.high < limit,
        f"{found.metric} of release {found.release} as {channel} is {found.value:.4f} "
        f"({found.low:.4f} to {found.high:.4f}) on {found.n_rows:,} labels, "
        f"was {found.then:.4f}, limit {limit:.4f}",
    )


def _measured(channel: Channel, state: State, signals: Signals) -> Iterator[Performance]:
    for each in signals.performances:
        if each.channel == channel and (channel == "shadow" or each.release == state.champion):
            yield each


def _labels(trigger: OnLabels, signals: Signals) -> _Seen:
    found = signals.labels
    if found is None:
        return _Seen(is_fired=False, words="nobody has counted yet")
    is_enough = found.rows >= trigger.rows and found.positives >= trigger.positives
    words = (
        f"{found.rows:,} new ones, {found.positives:,} positive, of {trigger.rows:,} "
        f"and {trigger.positives:,}"
    )
    return _Seen(is_enough, words)


def _instant(at_ms: int) -> str:
    minutes = at_ms % DAY_MS // 60_000
    return f"{event_date(at_ms)} {minutes // 60:02d}:{minutes % 60:02d} UTC"
