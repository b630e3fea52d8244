"""Labels joined to a rollout's answers: which count, when, for whom, and never twice."""

import random

import pytest

from core.clock import DAY_MS
from core.rollout.counters import score_bin
from core.rollout.outcomes import (
    Answer,
    Word,
    answer_of,
    joined,
    known_labels,
    mature_labels,
)
from core.rollout.published import WorkerCounts
from core.use_case import Label

CUT_MS = 100 * DAY_MS
LABEL = Label(
    source="verdicts", column="is_fraud", refers_to="payment_id", example_source="payments"
)
RECORD = {
    "rollout": {"experiment": "toy-2-2", "stage": 1},
    "event_id": "e1",
    "degraded": None,
    "score": 0.5,
    "received_at_ms": 7,
    "model": {"channel": "challenger"},
}


def word(event_id, *, positive=True, known_ms=0, available_ms=None, word_id="w"):
    return Word(event_id, positive, known_ms, known_ms if available_ms is None else available_ms,
                word_id)  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"rollout": None},
        {"rollout": {"experiment": "toy-2-9", "stage": 0}},
        {"event_id": None},
        {"degraded": {"level": "champion", "because": "it could not"}},
        {"score": None, "degraded": {"level": "default", "because": "no model"}},
    ],
)
def test_an_answer_that_no_label_can_judge_is_none(changes):
    assert answer_of(RECORD, "toy-2-2") == Answer("e1", "challenger", 1, 0.5, 7)
    assert answer_of({**RECORD, **changes}, "toy-2-2") is None


def test_a_record_from_before_it_named_its_event_is_none():
    old = {name: value for name, value in RECORD.items() if name not in ("rollout", "event_id")}
    assert answer_of(old, "toy-2-2") is None


def test_the_word_that_became_known_last_counts_and_none_from_after_the_cut():
    words = [
        word("e1", positive=True, known_ms=5),
        word("e1", positive=False, known_ms=6, word_id="a"),
        word("e1", positive=True, known_ms=6, word_id="b"),
        word("e1", positive=False, known_ms=11),
        word("e1", positive=False, known_ms=7, available_ms=11),
    ]
    for _ in range(5):
        random.Random(3).shuffle(words)
        assert known_labels(words, 10) == {"e1": True}


@pytest.mark.parametrize(
    ("absent_means", "expected"), [("0", {"old": False, "told": True}), ("drop", {"told": True})]
)
def test_only_events_that_are_old_enough_have_a_label(absent_means, expected):
    label = LABEL.model_copy(update={"absent_means": absent_means})
    ripe_ms = CUT_MS - 7 * DAY_MS
    examples = {"old": ripe_ms, "told": ripe_ms, "young": ripe_ms + 1, "soon": ripe_ms + 1}
    words = [word("told"), word("soon"), word("never happened")]
    assert mature_labels(examples, words, label, CUT_MS) == expected


def test_outcomes_are_counted_in_the_arm_the_stage_and_the_bin_of_the_answer():
    answers = [
        Answer("e1", "champion", 0, 0.3, 1),
        Answer("e2", "challenger", 0, 0.7, 1),
        Answer("e3", "challenger", 1, 0.7, 1),
        Answer("e4", "challenger", 1, 0.7, 1),
    ]
    found = joined(answers, {"e1": False, "e2": True, "e3": True}, n_answers=9)
    assert (found.n_answers, found.n_named) == (9, 4)
    one, two = found.counts.stages[0], found.counts.stages[1]
    assert (one.champion.n_labels, one.challenger.n_labels, two.challenger.n_labels) == (1, 1, 1)
    assert one.champion.labelled[score_bin(0.3)] == 1
    assert sum(one.champion.positives) == 0
    assert one.challenger.positives[score_bin(0.7)] == 1
    assert one.challenger.n_requests == 0  # those are the workers' to count
    (champion,) = [arm for arm in found.arms if arm.arm == "champion"]
    assert (champion.brier, champion.rate) == pytest.approx((0.09, 0.0))
    assert champion.log_loss == pytest.approx(0.356675, abs=1e-6)


def test_an_event_that_was_asked_about_twice_counts_by_its_first_answer():
    answers = [Answer("e1", "challenger", 1, 0.9, 2), Answer("e1", "champion", 0, 0.1, 1)]
    for given in (answers, answers[::-1], answers * 3):
        (arm,) = joined(given, {"e1": True}, n_answers=2).arms
        assert (arm.arm, arm.n_labels, arm.foretold) == ("champion", 1, 0.1)


def test_a_sure_mistake_is_bad_and_not_infinitely_bad():
    (arm,) = joined([Answer("e1", "champion", 0, 1.0, 1)], {"e1": False}, n_answers=1).arms
    assert arm.log_loss == pytest.approx(34.5, abs=0.1)


def test_labels_merge_with_what_workers_count():
    labels = joined([Answer("e1", "champion", 0, 0.3, 1)], {"e1": True}, n_answers=1).counts
    document = labels.model_dump_json()
    assert WorkerCounts.model_validate_json(document) == labels
    assert labels.merged(WorkerCounts()).stages[0].champion.n_labels == 1
