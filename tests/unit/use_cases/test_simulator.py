from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.clock import DAY_MS, HOUR_MS
from core.errors import InvalidInputError
from core.rows.row_parser import ParsedRow, RowParser, Violation
from stores.log.epochs import Malformed
from stores.log.source_log import SourceLog
from use_cases.fraud.simulated_payments import draw_cards, draw_payments, known_ms
from use_cases.fraud.simulator import RECEIPT, begun_end_ms, simulate
from use_cases.fraud.sources import CARD_PROFILES, FRAUD_LABELS, TRANSACTIONS

END_MS = 1_780_000_000_123
DAYS = 30
COUNT = 12_000
SHARES = {
    "late_share": 0.02,
    "duplicate_share": 0.01,
    "conflict_share": 0.005,
    "malformed_share": 0.002,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A simulation, and every row of it after landing and the contract's check."""
    folder = tmp_path_factory.mktemp("simulated")
    simulation = simulate(
        folder / "landing", seed=3, transactions=COUNT, days=DAYS, end_ms=END_MS, **SHARES
    )
    outcomes = {}
    for source in (TRANSACTIONS, FRAUD_LABELS, CARD_PROFILES):
        log = SourceLog(folder / "log" / source.name, source.name)
        parse = RowParser(source).parse
        for path in simulation.files[source.name]:
            log.land(Path(path), now_ms=END_MS)
        outcomes[source.name] = [
            Violation("malformed", "", "")
            if isinstance(record.raw, Malformed)
            else parse(record.raw, now_ms=END_MS)
            for _, record in log.read_open()
        ]
    return simulation, outcomes


def test_one_that_was_cut_short_is_not_taken_for_a_world_and_can_be_done_again(tmp_path):
    """A demo whose disk was full found the receipt, and went on with the files there were."""
    world = {"seed": 3, "transactions": 50, "days": 2}
    (tmp_path / "card_profiles").write_text("in the way")
    with pytest.raises(OSError, match="card_profiles"):
        simulate(tmp_path, end_ms=END_MS, **world)
    assert not (tmp_path / RECEIPT).exists()
    assert begun_end_ms(tmp_path) == END_MS
    with pytest.raises(InvalidInputError, match="another simulation"):
        simulate(tmp_path, end_ms=END_MS + HOUR_MS, **world)
    (tmp_path / "card_profiles").unlink()
    simulate(tmp_path, end_ms=END_MS, **world)
    assert (tmp_path / RECEIPT).exists()
    assert begun_end_ms(tmp_path) is None


def accepted(outcomes) -> list[ParsedRow]:
    return [outcome for outcome in outcomes if isinstance(outcome, ParsedRow)]


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(5)
    cards = draw_cards(rng, 100_000, DAYS, END_MS)
    return cards, draw_payments(rng, cards, 100_000, DAYS, END_MS), rng


def test_rows_keep_the_contract_but_for_the_malformed_ones(world):
    simulation, outcomes = world
    refused = [o for o in outcomes["transactions"] if isinstance(o, Violation)]
    assert len(refused) == simulation.malformed == round(COUNT * SHARES["malformed_share"])
    codes = {"malformed", "null_field", "out_of_range", "pattern", "unknown_field"}
    assert {outcome.code for outcome in refused} == codes | {"wrong_type", "future_event"}
    for name in ("fraud_labels", "card_profiles"):
        assert len(accepted(outcomes[name])) == len(outcomes[name])


def test_every_payment_is_there_and_again_where_asked(world):
    simulation, outcomes = world
    rows = accepted(outcomes["transactions"])
    assert len({row.event_id for row in rows}) == simulation.payments == COUNT
    by_id: dict[str, list[str]] = {}
    for row in rows:
        by_id.setdefault(row.event_id, []).append(row.payload_digest)
    twice = sum(len(digests) - len(set(digests)) for digests in by_id.values())
    conflicts = sum(len(set(digests)) - 1 for digests in by_id.values())
    assert twice == simulation.duplicates == 120
    assert conflicts == simulation.conflicts == 60


def test_late_rows_lie_in_a_later_file_than_their_date(world):
    simulation, _ = world
    newest = Path(simulation.files["transactions"][-1])
    first_ms = END_MS - 3 * DAY_MS
    old = 0
    for line in newest.read_text().splitlines():
        try:
            at = json.loads(line)["event_timestamp"]
        except ValueError:
            continue
        if isinstance(at, str) and at.startswith("20"):
            at_ms = int(np.datetime64(at.removesuffix("Z"), "ms").astype(np.int64))
            old += at_ms < first_ms
    assert old > 5
    assert simulation.late == 240


def test_labels_are_those_known_by_the_end_and_refer_to_payments(world):
    simulation, outcomes = world
    labels = accepted(outcomes["fraud_labels"])
    payments = {row.event_id: row for row in accepted(outcomes["transactions"])}
    assert len(labels) == simulation.labels == len({row.event_id for row in labels})
    names = RowParser(FRAUD_LABELS).names
    delays = []
    for label in labels:
        values = dict(zip(names, label.values, strict=True))
        delays.append(label.event_ms - payments[values["transaction_id"]].event_ms)
    assert max(label.event_ms for label in labels) < END_MS
    assert DAY_MS <= min(delays) <= max(delays) == 7 * DAY_MS


def test_every_card_that_pays_has_a_profile_before_it_pays(world):
    _, outcomes = world
    card = RowParser(TRANSACTIONS).names.index("card_id")
    profile_card = RowParser(CARD_PROFILES).names.index("card_id")
    first: dict[str, int] = {}
    for row in accepted(outcomes["card_profiles"]):
        first[row.values[profile_card]] = min(first.get(row.values[profile_card], END_MS), row[1])
    assert all(
        first[row.values[card]] <= row.event_ms for row in accepted(outcomes["transactions"])
    )
    dates = Counter(row.event_ms // DAY_MS for row in accepted(outcomes["card_profiles"]))
    assert len(dates) <= 2 + DAYS // 7


def test_same_arguments_write_the_same_bytes_and_other_seeds_others(tmp_path):
    arguments: dict[str, Any] = {"transactions": 2_000, "days": 12, "end_ms": END_MS, **SHARES}
    written = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        files = simulate(tmp_path / name, seed=seed, **arguments).files
        written.append([Path(path).read_bytes() for paths in files.values() for path in paths])
    assert written[0] == written[1]
    assert written[0] != written[2]


def test_folder_of_another_simulation_is_refused(tmp_path):
    arguments: dict[str, Any] = {"transactions": 100, "days": 2, "end_ms": END_MS}
    simulate(tmp_path, seed=1, **arguments)
    simulate(tmp_path, seed=1, **arguments)
    with pytest.raises(InvalidInputError, match="another simulation"):
        simulate(tmp_path, seed=2, **arguments)


@pytest.mark.parametrize(
    "change", [{"transactions": 0}, {"days": 0}, {"late_share": 1.5}, {"malformed_share": -0.1}]
)
def test_arguments_that_make_no_sense_are_refused(tmp_path, change):
    arguments = {"seed": 1, "transactions": 100, "days": 2, "end_ms": END_MS} | change
    with pytest.raises(InvalidInputError, match="a simulation needs"):
        simulate(tmp_path, **arguments)


@pytest.mark.parametrize(("transactions", "days"), [(1, 1), (50, 1), (500, 3), (3_000, 11)])
def test_any_size_gives_exactly_its_payments_within_its_days(transactions, days):
    rng = np.random.default_rng(1)
    cards = draw_cards(rng, transactions, days, END_MS)
    payments = draw_payments(rng, cards, transactions, days, END_MS)
    assert len(payments) == transactions
    assert END_MS - days * DAY_MS <= payments.event_ms.min()
    assert payments.event_ms.max() < END_MS
    assert np.all(np.diff(payments.event_ms) >= 0)
    assert payments.amount_minor.min() >= 1
    assert payments.amount_minor.max() <= 10_000_000
    assert 0 <= payments.terminal.min() <= payments.terminal.max() < cards.terminals


def test_frauds_are_a_little_under_one_in_a_hundred(drawn):
    _, payments, _ = drawn
    assert 0.007 < payments.is_fraud.mean() < 0.0105


def test_people_pay_by_day(drawn):
    _, payments, _ = drawn
    hours = np.bincount(payments.event_ms // HOUR_MS % 24, minlength=24)
    assert hours[10:16].min() > 3 * hours[[0, 1, 2, 3, 23]].max()


def test_no_amount_tells_a_fraud_but_amounts_help(drawn):
    cards, payments, _ = drawn
    ratio = payments.amount_minor / cards.mean_minor[payments.card]
    order = np.argsort(-ratio, kind="stable")
    top = payments.is_fraud[order[: int(payments.is_fraud.sum())]].mean()
    assert 0.1 < top < 0.6


def test_verdicts_on_frauds_come_early_enough_to_warn_of_the_terminal(drawn):
    _, payments, rng = drawn
    delay = known_ms(rng, payments) - payments.event_ms
    assert np.all(delay[~payments.is_fraud] == 7 * DAY_MS)
    assert 2 * DAY_MS < np.median(delay[payments.is_fraud]) < 5 * DAY_MS
    frauds = np.bincount(payments.terminal[payments.is_fraud])
    assert np.sort(frauds)[-10:].sum() > 0.1 * payments.is_fraud.sum()
