"""What turned out to be true, joined to the answers of a rollout by the event both name.

A request may say which event it decides about; a label names that event, too. An outcome counts
once it is *mature*, as in a training set: the event is in its table for so long that whatever
was to become known of it has. Labels that came sooner wait: where only the bad ones come soon,
the first of them would tell of bad ones alone. Pure: no clock, no store, no table.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import NonNegativeInt

from core.clock import DAY_MS
from core.features.plan import Frozen
from core.rollout.counters import SCORE_BINS, Counters, score_bin
from core.rollout.published import StageCounts, WorkerCounts
from core.use_case import Label

ArmName = Literal["champion", "challenger"]
LOSS_FLOOR = 1e-15
"""A score nearer to 0 or 1 counts as this far from it: one sure mistake is not infinitely bad."""


class Answer(NamedTuple):
    """An answer of an arm that a label can judge. Of several about one event the first counts."""

    event_id: str
    arm: ArmName
    stage: int
    score: float
    received_at_ms: int


class Word(NamedTuple):
    """A row of the labels' source: what it says, of which event, and since when it is known."""

    event_id: str
    is_positive: bool
    known_ms: int
    available_ms: int
    word_id: str


class ArmOutcome(Frozen):
    """Outcomes of one arm in one stage, in figures that people read.

    ``brier`` and ``log_loss`` are means over the labels of the scores as they were answered (the
    gates take their bins); ``foretold`` is the mean score, beside ``rate``, the share of positives.
    """

    stage: NonNegativeInt
    arm: ArmName
    n_labels: NonNegativeInt
    n_positives: NonNegativeInt
    rate: float
    foretold: float
    brier: float
    log_loss: float


class Outcomes(Frozen):
    """Counts for the gates, the same for people, and what there was to join.

    ``n_answers`` are whole answers of the rollout, ``n_named`` the events that they name.
    """

    counts: WorkerCounts
    arms: tuple[ArmOutcome, ...] = ()
    n_answers: NonNegativeInt = 0
    n_named: NonNegativeInt = 0


def answer_of(record: Mapping[str, Any], experiment: str) -> Answer | None:
    """A prediction record as an answer of an experiment; None where it is none, or names no event.

    A degraded answer says nothing about the model. Records from before they had these fields
    name neither.

    Examples
    --------
    >>> record = {"rollout": {"experiment": "toy-2-2", "stage": 1}, "event_id": "e1",
    ...     "degraded": None, "score": 0.5, "received_at_ms": 7, "model": {"channel": "champion"}}
    >>> answer_of(record, "toy-2-2")
    Answer(event_id='e1', arm='champion', stage=1, score=0.5, received_at_ms=7)
    >>> answer_of(record, "toy-2-9") is None
    True
    """
    if not is_whole_answer(record, experiment) or record.get("event_id") is None:
        return None
    return Answer(
        record["event_id"],
        record["model"]["channel"],
        record["rollout"]["stage"],
        record["score"],
        record["received_at_ms"],
    )


def is_whole_answer(record: Mapping[str, Any], experiment: str) -> bool:
    """Whether a record is an undegraded answer of an arm of the experiment."""
    assigned = record.get("rollout")
    is_ours = assigned is not None and assigned["experiment"] == experiment
    return is_ours and record["degraded"] is None and record["score"] is not None


def known_labels(words: Iterable[Word], cut_ms: int) -> dict[str, bool]:
    """Label of each event as it was known at ``cut_ms``: the word that became known last.

    Ties go to the later ``available_ms``, then to the greater id, as in a training set.
    """
    last: dict[str, Word] = {}
    for word in words:
        if max(word.known_ms, word.available_ms) > cut_ms:
            continue
        held = last.get(word.event_id)
        if held is None or word[2:] > held[2:]:
            last[word.event_id] = word
    return {event_id: word.is_positive for event_id, word in last.items()}


def mature_labels(
    examples: Mapping[str, int], words: Iterable[Word], label: Label, cut_ms: int
) -> dict[str, bool]:
    """Labels of the events that are old enough at ``cut_ms``, absent ones as declared.

    Parameters
    ----------
    examples
        When each event happened, epoch ms. One that is not among them never happened, as far as
        the tables know, and has no label.
    words
        Rows of the labels' source.
    label
        The declaration: maturity, and what the absence of a label means.
    cut_ms
        The present of the join.
    """
    known = known_labels(words, cut_ms)
    oldest_ms = cut_ms - label.maturity_days * DAY_MS
    absent = {} if label.absent_means == "drop" else dict.fromkeys(examples, False)
    found = {**absent, **known}
    return {
        event_id: found[event_id]
        for event_id, event_ms in examples.items()
        if event_id in found and event_ms <= oldest_ms
    }


def first_answers(answers: Iterable[Answer]) -> dict[str, Answer]:
    """The earliest answer about each event: a request that is sent again judges nothing anew."""
    first: dict[str, Answer] = {}
    for answer in answers:
        held = first.get(answer.event_id)
        if held is None or answer.received_at_ms < held.received_at_ms:
            first[answer.event_id] = answer
    return first


def joined(answers: Iterable[Answer], labels: Mapping[str, bool], *, n_answers: int) -> Outcomes:
    """Outcomes of answers whose events have a label. The same input gives the same output.

    Examples
    --------
    >>> answers = [Answer("e1", "challenger", 0, 0.8, 1), Answer("e2", "challenger", 0, 0.6, 2)]
    >>> (arm,) = joined(answers, {"e1": True, "e2": False}, n_answers=2).arms
    >>> arm.n_labels, arm.rate, round(arm.brier, 3)
    (2, 0.5, 0.2)
    """
    first = first_answers(answers)
    pairs: dict[tuple[int, ArmName], list[tuple[float, bool]]] = defaultdict(list)
    for event_id, answer in first.items():
        if event_id in labels:
            pairs[answer.stage, answer.arm].append((answer.score, labels[event_id]))
    stages: dict[int, dict[str, Counters]] = defaultdict(dict)
    for (stage, arm), judged in pairs.items():
        stages[stage][arm] = _counters(judged)
    return Outcomes(
        counts=WorkerCounts(stages={n: StageCounts(**arms) for n, arms in sorted(stages.items())}),
        arms=tuple(_arm_outcome(*place, judged) for place, judged in sorted(pairs.items())),
        n_answers=n_answers,
        n_named=len(first),
    )


def _counters(judged: Iterable[tuple[float, bool]]) -> Counters:
    labelled, positives = [0] * SCORE_BINS, [0] * SCORE_BINS
    for score, is_positive in judged:
        place = score_bin(score)
        labelled[place] += 1
        positives[place] += is_positive
    return Counters(labelled=tuple(labelled), positives=tuple(positives))


def _arm_outcome(stage: int, arm: ArmName, judged: list[tuple[float, bool]]) -> ArmOutcome:
    n = len(judged)
    n_positives = sum(is_positive for _, is_positive in judged)
    return ArmOutcome(
        stage=stage,
        arm=arm,
        n_labels=n,
        n_positives=n_positives,
        rate=n_positives / n,
        foretold=math.fsum(score for score, _ in judged) / n,
        brier=math.fsum((score - is_positive) ** 2 for score, is_positive in judged) / n,
        log_loss=math.fsum(_log_loss(*each) for each in judged) / n,
    )


def _log_loss(score: float, is_positive: bool) -> float:  # noqa: FBT001 - a label, no switch
    likelihood = score if is_positive else 1 - score
    return -math.log(max(likelihood, LOSS_FLOOR))
