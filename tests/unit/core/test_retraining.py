import pytest
from pydantic import ValidationError

from core.clock import DAY_MS, HOUR_MS
from core.monitoring.triage import Fault, Moved, triaged
from core.retraining import (
    Hold,
    NewLabels,
    OnDecay,
    OnDrift,
    OnErasure,
    OnLabels,
    OnSchedule,
    Performance,
    Retrain,
    Retraining,
    Signals,
    State,
    retraining_decision,
)

ALL = Retraining(
    drift=OnDrift(cool_down_hours=48),
    decay=OnDecay(least_loss=0.1, least_positives=30, cool_down_hours=24),
    shadow_decay=OnDecay(least_loss=0.2, least_positives=30),
    labels=OnLabels(rows=1_000, positives=10),
    schedule=OnSchedule(days=30),
)
NOW_MS = 100 * DAY_MS
STATE = State(champion=4, last_ms=NOW_MS - 5 * DAY_MS)
MOVED = Moved(column="amount", what="source", effect=0.4, threshold=0.1, n_current=900)
LATE = Fault(cause="late_partition", asset="events/payments", partition="1970-04-10")


def looked(*, moved=(), faults=(), at_ms=NOW_MS - HOUR_MS):
    return triaged("small", moved, faults, at_ms=at_ms, window=("1970-04-01", "1970-04-10"))


def measured(channel="champion", release=4, *, value=0.4, half=0.02, then=0.5, positives=200):
    return Performance(
        release=release, channel=channel, metric="average_precision", value=value,
        low=value - half, high=value + half, then=then, n_rows=9_000, n_positive=positives,
    )  # fmt: skip


def decided(signals, state=STATE, declared=ALL):
    return retraining_decision(declared, state, signals, now_ms=NOW_MS)


def test_nothing_seen_is_held_with_a_word_on_every_trigger():
    found = decided(Signals())
    assert isinstance(found, Hold)
    for words in ("drift: nobody", "decay: the champion was not", "shadow_decay: the shadow"):
        assert words in found.why
    assert "labels: nobody" in found.why
    assert "schedule: the last model was made 5 d ago, of 30" in found.why


@pytest.mark.parametrize(
    ("signals", "trigger", "words"),
    [
        (Signals(triage=looked(moved=[MOVED])), "drift", "amount moved 0.40"),
        (Signals(performances=(measured(),)), "decay", "0.4000 (0.3800 to 0.4200) on 9,000"),
        (Signals(performances=(measured("shadow", 5, value=0.2),)), "shadow_decay", "release 5"),
        (Signals(labels=NewLabels(rows=1_000, positives=10)), "labels", "1,000 new ones"),
    ],
)
def test_a_trigger_that_fires_is_the_reason(signals, trigger, words):
    found = decided(signals)
    assert isinstance(found, Retrain)
    assert found.trigger == trigger
    assert words in found.why


def test_an_old_model_is_made_again_when_its_days_are_over():
    state = State(champion=4, last_ms=NOW_MS - 30 * DAY_MS)
    assert decided(Signals(), state) == Retrain(
        "schedule", "the last model was made 30 d ago, of 30"
    )


def test_a_data_incident_holds_whatever_fires():
    signals = Signals(
        triage=looked(moved=[MOVED], faults=[LATE]),
        performances=(measured(),),
        labels=NewLabels(rows=10**6, positives=10**5),
    )
    found = decided(signals, State(champion=4, last_ms=0))
    assert isinstance(found, Hold)
    assert "events/payments 1970-04-10: late partition" in found.why


def test_each_trigger_rests_for_its_own_time_whoever_started_the_last_one():
    day_old = State(champion=4, last_ms=NOW_MS - 25 * HOUR_MS)
    signals = Signals(triage=looked(moved=[MOVED]), performances=(measured(),))
    found = decided(signals, day_old)
    assert isinstance(found, Retrain)
    assert found.trigger == "decay"  # drift rests two days, decay one
    held = decided(Signals(triage=looked(moved=[MOVED])), day_old)
    assert isinstance(held, Hold)
    assert "but it rests until 1970-04-11 23:00 UTC" in held.why


def test_drift_that_an_earlier_model_has_seen_is_no_drift_any_more():
    seen = looked(moved=[MOVED], at_ms=STATE.last_ms)
    assert "older than the last model" in decided(Signals(triage=seen)).why


@pytest.mark.parametrize(
    "weak",
    [
        measured(half=0.06),  # the limit of 0.45 lies within the interval
        measured(positives=29),
        measured(release=3),  # of a champion of former days
        measured("shadow", 5),  # the shadow may lose a fifth
    ],
)
def test_a_loss_that_is_not_sure_or_of_another_starts_nothing(weak):
    assert isinstance(decided(Signals(performances=(weak,))), Hold)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State(champion=None, last_ms=0), "no release is champion"),
        (State(champion=4, last_ms=0, busy="release 5 is being rolled out"), "rolled out"),
    ],
)
def test_what_must_end_first_is_waited_for(state, words):
    found = decided(Signals(performances=(measured(),)), state)
    assert isinstance(found, Hold)
    assert words in found.why


def test_a_declaration_without_a_trigger_is_refused():
    with pytest.raises(ValidationError, match="no trigger"):
        Retraining(history_days=30)


def test_a_champion_that_learnt_from_somebody_forgotten_is_replaced():
    declared = ALL.model_copy(update={"erasure": OnErasure(cool_down_hours=24)})
    found = decided(Signals(erased=(2, 4)), declared=declared)
    assert found == Retrain("erasure", "release 4 learnt from somebody who was forgotten since")
    assert isinstance(decided(Signals(erased=(2,)), declared=declared), Hold)
    rests = decided(Signals(erased=(4,)), State(4, NOW_MS - HOUR_MS), declared)
    assert "but it rests until" in rests.why
    assert isinstance(decided(Signals(erased=(4,))), Hold)  # not declared
