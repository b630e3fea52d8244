"""Triages are kept, the last one is found, and one that cannot be read is said."""

from __future__ import annotations

import pytest

from core.errors import IntegrityError
from core.monitoring.triage import Fault, triaged
from stores.monitoring.triages import Triages

WINDOW = ("2026-01-01", "2026-01-07")


def test_the_last_one_put_is_the_last_word(tmp_path):
    triages = Triages(tmp_path / "monitoring")
    assert triages.latest("fraud") is None
    fault = Fault(cause="failed_check", asset="events/transactions", because="x")
    triages.put(triaged("fraud", [], [fault], at_ms=9, window=WINDOW))
    triages.put(triaged("fraud", [], [], at_ms=10, window=WINDOW))
    latest = triages.latest("fraud")
    assert latest is not None
    assert not latest.is_held
    assert [each.at_ms for each in triages.all("fraud")] == [9, 10]
    assert [each.at_ms for each in triages.all("fraud", newest=1)] == [10]
    assert triages.latest("handbook") is None


def test_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr("stores.monitoring.triages.KEPT", 2)
    triages = Triages(tmp_path)
    for at_ms in range(5):
        triages.put(triaged("fraud", [], [], at_ms=at_ms, window=WINDOW))
    assert [each.at_ms for each in triages.all("fraud")] == [3, 4]


def test_one_that_cannot_be_read_is_said(tmp_path):
    triages = Triages(tmp_path)
    triages.put(triaged("fraud", [], [], at_ms=1, window=WINDOW))
    next((tmp_path / "fraud" / "triages").glob("*.json")).write_text("{")
    with pytest.raises(IntegrityError, match="nobody knows"):
        triages.latest("fraud")
