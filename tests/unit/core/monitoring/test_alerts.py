"""Alerts: one a cause, told when new, worse, old or over; severity by risk tier."""

from __future__ import annotations

import pytest

from core.clock import DAY_MS
from core.monitoring.alerts import SEVERITIES, Finding, document_of, grouped, severity_of, updated

UPSTREAM = {
    "features/tiles": ["events/payments"],
    "scores/fraud": ["models/release", "features/tiles"],
    "predictions/fraud": ["models/release"],
    "monitoring/fraud_drift": ["scores/fraud", "predictions/fraud"],
}


def finding(asset, name="check", severity="warning", **more):
    return Finding(asset=asset, name=name, why="it broke", severity=severity, **more)


BROKEN = [
    finding("events/payments", "great_expectations"),
    finding("features/tiles"),
    finding("scores/fraud"),
    finding("predictions/fraud"),
]


def test_what_is_downstream_of_a_broken_table_is_told_with_it():
    found = grouped(BROKEN, UPSTREAM)
    assert {cause: [each.asset for each in group] for cause, group in found.items()} == {
        "events/payments": ["events/payments", "features/tiles", "scores/fraud"],
        "predictions/fraud": ["predictions/fraud"],
    }


def test_a_finder_that_knows_the_cause_is_believed():
    drift = finding("monitoring/fraud_drift", cause="events/payments", severity="critical")
    assert list(grouped([drift], UPSTREAM)) == ["events/payments"]
    assert list(grouped([drift, *BROKEN[:2]], UPSTREAM)) == ["events/payments"]


def test_the_same_finding_found_twice_counts_once():
    [group] = grouped([BROKEN[0], BROKEN[0]], UPSTREAM).values()
    assert len(group) == 1


@pytest.mark.parametrize("base", SEVERITIES)
def test_a_higher_tier_is_never_less_severe(base):
    levels = [SEVERITIES.index(severity_of(base, tier)) for tier in ("low", "medium", "high")]
    assert levels == sorted(levels)
    assert severity_of(base, "medium") == base


def test_the_worst_finding_gives_severity_and_runbook():
    worse = finding("features/tiles", severity="warning", tier="high", runbook="late-data")
    [alert] = updated([], [BROKEN[0], worse], UPSTREAM, now_ms=5)
    assert (alert.severity, alert.runbook) == ("critical", "docs/watching.md#late-data")


def test_one_is_due_when_new_worse_old_or_over_and_else_not():
    [alert] = updated([], BROKEN[:1], UPSTREAM, now_ms=10)
    assert alert.is_due(10)
    told = alert.model_copy(update={"told_ms": 10, "told": alert.state})
    assert not told.is_due(11)
    assert told.is_due(10 + DAY_MS)
    [same] = updated([told], BROKEN[:1], UPSTREAM, now_ms=20)
    assert not same.is_due(20)
    [worse] = updated([told], BROKEN[:2], UPSTREAM, now_ms=20)
    assert worse.is_due(20)
    assert worse.alert_id == alert.alert_id
    [over] = updated([told], [], UPSTREAM, now_ms=30)
    assert not over.is_open
    assert over.is_due(30)
    assert not over.model_copy(update={"told": over.state}).is_due(30 + 2 * DAY_MS)


def test_one_that_came_and_went_untold_is_told_to_nobody():
    [alert] = updated([], BROKEN[:1], UPSTREAM, now_ms=10)
    [over] = updated([alert], [], UPSTREAM, now_ms=20)
    assert not over.is_due(20)


def test_the_same_cause_later_is_another_alert():
    [alert] = updated([], BROKEN[:1], UPSTREAM, now_ms=10)
    held = updated([alert], [], UPSTREAM, now_ms=20)
    again = updated(held, BROKEN[:1], UPSTREAM, now_ms=30)
    assert [each.is_open for each in again] == [False, True]
    assert len({each.alert_id for each in again}) == 2


def test_a_document_says_all_that_a_receiver_needs():
    many = [finding("events/payments", f"check_{n}") for n in range(7)]
    [alert] = updated([], many, UPSTREAM, now_ms=10)
    document = document_of(alert)
    assert document["text"].endswith("and 2 more")
    assert len(document["findings"]) == 7
    assert document["runbook"] == "docs/watching.md#a-check-failed"
    assert document["is_open"] is True


def told_and_acknowledged(findings):
    [alert] = updated([], findings, UPSTREAM, now_ms=10)
    told = alert.model_copy(update={"told_ms": 10, "told": alert.state})
    given = told.acknowledge(who="ann", because="the sender knows", at_ms=20)
    return given.model_copy(update={"told_ms": 21, "told": given.state})


def test_an_acknowledged_one_is_told_as_such_once_and_then_no_more():
    [alert] = updated([], BROKEN[:1], UPSTREAM, now_ms=10)
    told = alert.model_copy(update={"told_ms": 10, "told": alert.state})
    given = told.acknowledge(who="ann", because="the sender knows", at_ms=20)
    assert given.is_due(20)
    assert document_of(given)["acknowledged"] == {
        "who": "ann", "because": "the sender knows", "at_ms": 20,
    }  # fmt: skip
    assert document_of(given)["text"].startswith("acknowledged by ann (the sender knows): events/")
    taken = given.model_copy(update={"told_ms": 21, "told": given.state})
    [later] = updated([taken], BROKEN[:1], UPSTREAM, now_ms=10 + 3 * DAY_MS)
    assert later.word is not None
    assert not later.is_due(10 + 3 * DAY_MS)


def test_getting_better_is_not_told_and_getting_worse_opens_it_again():
    given = told_and_acknowledged(BROKEN[:2])
    [better] = updated([given], BROKEN[:1], UPSTREAM, now_ms=30)
    assert better.found != given.found
    assert not better.is_due(30)
    [back] = updated([better], BROKEN[:2], UPSTREAM, now_ms=40)
    assert back.word is not None  # all of it was known
    [worse] = updated([back], BROKEN[:3], UPSTREAM, now_ms=50)
    assert worse.word is None
    assert worse.acknowledged is not None
    assert worse.acknowledged.void_ms == 50
    assert worse.is_due(50)
    assert document_of(worse)["acknowledged"] is None
    assert document_of(worse)["text"].startswith("worse since ann acknowledged it: ")
    [still] = updated([worse], BROKEN[:1], UPSTREAM, now_ms=60)
    assert still.word is None  # a void word stays void
    again = still.acknowledge(who="bob", because="I look", at_ms=70)
    assert again.word is not None
    assert again.word.who == "bob"


def test_the_same_findings_being_more_severe_opens_it_again():
    given = told_and_acknowledged(BROKEN[:1])
    grave = BROKEN[0].model_copy(update={"severity": "critical"})
    [worse] = updated([given], [grave], UPSTREAM, now_ms=30)
    assert worse.word is None


def test_one_that_comes_back_is_open_again_and_one_that_is_over_is_told_so():
    given = told_and_acknowledged(BROKEN[:1])
    [over] = updated([given], [], UPSTREAM, now_ms=30)
    assert over.is_due(30)
    assert document_of(over)["text"].startswith("over: ")
    _, back = updated([over], BROKEN[:1], UPSTREAM, now_ms=40)
    assert back.word is None
    assert back.is_due(40)
