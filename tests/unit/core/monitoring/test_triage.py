"""Triage: faults upstream win over drift, and the verdict names what it rests on."""

from __future__ import annotations

from core.monitoring.triage import Fault, Moved, triaged

WINDOW = ("2026-01-01", "2026-01-07")


def moved(column="amount_minor", what="source", since=""):
    return Moved(column=column, what=what, effect=0.4, threshold=0.1, n_current=900, since=since)


def triage(moved=(), faults=()):
    return triaged("fraud", moved, faults, at_ms=5, window=WINDOW)


def test_nothing_moved_and_nothing_wrong_is_stable():
    found = triage()
    assert (found.kind, found.drift, found.is_held) == ("stable", "none", False)
    assert "nothing moved" in found.sentence()


def test_a_fault_holds_retraining_even_before_anything_moved():
    late = Fault(cause="late_partition", asset="events/transactions", partition="2026-01-03")
    found = triage(faults=[late])
    assert found.kind == "data_incident"
    assert found.is_held
    assert "events/transactions 2026-01-03" in found.sentence()


def test_kinds_of_real_drift_are_told_by_what_moved():
    assert triage([moved("x", "feature"), moved("brier", "error")]).drift == "covariate"
    assert triage([moved("brier", "error"), moved("score", "prediction")]).drift == "concept"
    assert triage([moved("score", "prediction")]).drift == "prediction"


def test_new_code_is_a_fault_only_from_the_date_on_which_a_column_moved():
    code = Fault(cause="code_change", asset="events/transactions", partition="2026-01-04")
    assert triage([moved(since="2026-01-04")], [code]).is_held
    assert triage([moved(since="2026-01-02")], [code]).kind == "real_drift"
    assert triage([], [code]).kind == "stable"


def test_the_sentence_names_three_and_counts_the_rest():
    found = triage([moved(f"column_{n}") for n in range(5)])
    assert found.sentence().count("moved") == 3
    assert found.sentence().endswith("and 2 more")
