"""A simulated world shifts: what comes is of its cards, on its dates, and the same each time."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.clock import DAY_MS, HOUR_MS, date_start_ms, event_date
from core.errors import NotReadyError
from core.rows.row_parser import ParsedRow, RowParser
from stores.log.source_log import SourceLog
from use_cases.fraud import shift
from use_cases.fraud.simulator import simulate
from use_cases.fraud.sources import CARD_PROFILES

END_MS = 1_780_000_000_000
WORLD_DAYS, COUNT = 30, 6_000
DAYS = 21


@pytest.fixture
def folder(tmp_path):
    simulate(tmp_path, seed=3, transactions=COUNT, days=WORLD_DAYS, end_ms=END_MS)
    return tmp_path


def rows_of(folder, source):
    (path,) = (folder / source).glob("shift*.parquet")
    return pq.read_table(path)


def instants(table):
    return table["event_timestamp"].cast("int64").to_numpy()


def test_a_shift_adds_small_payments_of_known_cards_at_new_shops(folder):
    made = shift.shifted(folder, days=DAYS, now_ms=END_MS)
    rows = rows_of(folder, "transactions")
    start_ms = date_start_ms(event_date(END_MS - DAYS * DAY_MS))
    assert made.start_date == made.first_date == event_date(start_ms)
    assert instants(rows).min() >= start_ms
    assert instants(rows).max() < made.end_ms <= END_MS
    before = {row for path in (folder / "transactions").glob("0*") for row in ids_of(path)}
    assert not before & set(rows["event_id"].to_pylist())
    cards = {int(card.removeprefix("card-")) for card in rows["card_id"].to_pylist()}
    assert max(cards) < 100  # as many cards as make that many payments at two a day
    assert min(int(t.removeprefix("terminal-")) for t in rows["terminal_id"].to_pylist()) >= 200
    assert np.median(rows["amount_minor"]) == pytest.approx(shift.SMALL_MINOR, rel=0.1)
    assert made.payments == len(rows) == pytest.approx(COUNT / WORLD_DAYS * DAYS * 0.612, rel=0.1)


def ids_of(path):
    if path.suffix == ".parquet":
        return pq.read_table(path)["event_id"].to_pylist()
    return [json.loads(line)["event_id"] for line in path.read_text().splitlines()]


def test_its_frauds_are_runs_on_a_card_and_their_labels_come_within_a_week(folder):
    made = shift.shifted(folder, days=DAYS, now_ms=END_MS)
    payments, labels = rows_of(folder, "transactions"), rows_of(folder, "fraud_labels")
    assert 0 < made.frauds < made.payments / 20
    assert made.labels == len(labels)
    known = dict(zip(labels["transaction_id"].to_pylist(), instants(labels), strict=True))
    happened = dict(zip(payments["event_id"].to_pylist(), instants(payments), strict=True))
    delays = np.array([at_ms - happened[name] for name, at_ms in known.items()])
    assert delays.min() > 0
    assert delays.max() <= 7 * DAY_MS
    stolen = labels.filter(np.asarray(labels["is_fraud"]) == 1)
    cards = stolen["card_id"].to_pylist()
    assert len(cards) > 3 * len(set(cards))


def test_a_world_shifts_once_and_what_is_missing_is_written_again(folder):
    assert not shift.is_shifted(folder)
    first = shift.shifted(folder, days=DAYS, now_ms=END_MS)
    (path,) = (folder / "fraud_labels").glob("shift*")
    held = path.read_bytes()
    path.unlink()  # as after a kill
    assert not shift.is_shifted(folder)
    assert shift.shifted(folder, days=DAYS, now_ms=END_MS + 5 * DAY_MS) == first
    assert path.read_bytes() == held
    assert shift.is_shifted(folder)


@pytest.mark.parametrize(("later_ms", "has_gone_on"), [(2 * HOUR_MS, False), (2 * DAY_MS, True)])
def test_a_world_that_ended_a_while_ago_goes_on_as_it_was(folder, later_ms, has_gone_on):
    shift.shifted(folder, days=DAYS, now_ms=END_MS + later_ms)
    rows = rows_of(folder, "transactions")
    terminals = [int(t.removeprefix("terminal-")) for t in rows["terminal_id"].to_pylist()]
    usual = instants(rows)[np.array(terminals) < 200]
    assert (len(usual) > 0) == has_gone_on
    assert all(usual >= END_MS)


def test_profiles_without_limits_keep_the_contract(folder, tmp_path):
    assert not shift.is_emptied(folder)
    n_rows = shift.emptied(folder, now_ms=END_MS)
    assert shift.is_emptied(folder)
    (path,) = (folder / "card_profiles").glob("without_limits*")
    log = SourceLog(tmp_path / "log", CARD_PROFILES.name)
    log.land(path, now_ms=END_MS)
    parse = RowParser(CARD_PROFILES).parse
    found = [parse(record.raw, now_ms=END_MS) for _, record in log.read_open()]
    rows = [each for each in found if isinstance(each, ParsedRow)]
    assert n_rows == len(rows) == len(found) == 100  # as many as there are cards
    assert {event_date(row.event_ms) for row in rows} == {event_date(END_MS - DAY_MS)}
    limit = [field.name for field in CARD_PROFILES.fields].index("limit_minor")
    assert {row.values[limit] for row in rows} == {None}
    before = {row for path in (folder / "card_profiles").glob("0*") for row in ids_of(path)}
    assert not before & {row.event_id for row in rows}


def test_without_a_simulation_nothing_shifts(tmp_path):
    with pytest.raises(NotReadyError, match="no simulated world"):
        shift.shifted(tmp_path, days=DAYS, now_ms=END_MS)
