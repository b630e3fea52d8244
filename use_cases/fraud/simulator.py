"""A seeded simulator of card payments: writes the files that a bank would land.

The same arguments write the same bytes. Files lie in one folder a source, older rows as
Parquet, the newest as NDJSON, each file holding what *arrived* in its days: a late row
is in a later file than its date says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY_MS, HOUR_MS, event_date
from core.errors import InvalidInputError
from use_cases.fraud.simulated_payments import (
    Cards,
    Ints,
    Payments,
    draw_cards,
    draw_payments,
    known_ms,
)
from use_cases.fraud.sources import COUNTRIES

DAYS_PER_FILE = 10
NDJSON_SHARE = 0.1
"""Share of the days, the last ones, whose rows are written as NDJSON."""

WITHOUT_LIMIT_SHARE = 0.05
CHANGED_PROFILE_SHARE = 0.1
RECEIPT = "simulation.json"
BEGUN = ".simulation-begun.json"
"""The receipt until all files are written: who is cut short leaves no world that looks whole."""
MOST_TRANSACTIONS = 1_000_000_000
MOST_DAYS = 3_660

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Simulation:
    """What was written: rows of each kind, and the files of each source in order."""

    payments: int
    frauds: int
    labels: int
    late: int
    duplicates: int
    conflicts: int
    malformed: int
    files: dict[str, tuple[str, ...]]


def simulate(
    directory: Path,
    *,
    seed: int,
    transactions: int,
    days: int,
    end_ms: int,
    late_share: float = 0.0,
    duplicate_share: float = 0.0,
    conflict_share: float = 0.0,
    malformed_share: float = 0.0,
) -> Simulation:
    """Write landing files of ``transactions`` payments in the ``days`` before ``end_ms``.

    Below ``directory``: ``transactions``, ``fraud_labels`` (the verdicts known by the
    end) and ``card_profiles``. Shares are of ``transactions``: late rows arrive up to
    three days after they happened, duplicates come twice, conflicts come again under
    their id with another amount, malformed records break the contract in eight ways and
    are extra rows.

    Raises
    ------
    InvalidInputError
        If an argument makes no sense, or the folder holds the files of other arguments.
    """
    shares = (late_share, duplicate_share, conflict_share, malformed_share)
    _check(seed, transactions, days, shares)
    arguments = {"seed": seed, "transactions": transactions, "days": days, "end_ms": end_ms}
    _begin(directory, {**arguments, "shares": shares})
    rng = np.random.default_rng(seed)
    cards = draw_cards(rng, transactions, days, end_ms)
    payments = draw_payments(rng, cards, transactions, days, end_ms)
    writer = _Writer(directory, end_ms - days * DAY_MS, end_ms)
    sent, late, duplicates, conflicts = _sent(rng, payments, shares, end_ms)
    malformed = round(transactions * malformed_share)
    labels = label_rows(rng, payments, end_ms)
    files = {
        "transactions": writer.write("transactions", *sent, extra=_malformed(malformed, end_ms)),
        "fraud_labels": writer.write("fraud_labels", labels, labels["event_timestamp"]),
        "card_profiles": writer.write("card_profiles", *_profiles(rng, cards, days, end_ms)),
    }
    (directory / BEGUN).replace(directory / RECEIPT)
    return Simulation(
        payments=len(payments),
        frauds=int(payments.is_fraud.sum()),
        labels=len(labels["event_id"]),
        late=late,
        duplicates=duplicates,
        conflicts=conflicts,
        malformed=malformed,
        files=files,
    )


def _check(seed: int, transactions: int, days: int, shares: tuple[float, ...]) -> None:
    are_shares = all(0 <= share <= 1 for share in shares)
    is_of_a_size = 1 <= transactions <= MOST_TRANSACTIONS and 1 <= days <= MOST_DAYS
    if seed < 0 or not is_of_a_size or not are_shares:
        raise InvalidInputError(
            "a simulation needs payments, days, a seed and shares from 0 to 1",
            found=f"{transactions} transactions, {days} days, seed {seed}, shares {shares}",
            remedy=f"give 1 to {MOST_TRANSACTIONS:,} payments, 1 to {MOST_DAYS:,} days and a "
            "seed that is not negative",
        )


def begun_end_ms(directory: Path) -> int | None:
    """Where the world ends whose simulation was cut short here; None when none was."""
    text = _text(directory / BEGUN)
    return int(json.loads(text)["end_ms"]) if text else None


def _begin(directory: Path, arguments: dict[str, Any]) -> None:
    """Refuse to mix two simulations: their ids are the same and their rows are not."""
    text = json.dumps(arguments)
    for path in (directory / RECEIPT, directory / BEGUN):
        if (there := _text(path)) and there != text:
            raise InvalidInputError(
                "the folder holds files of another simulation",
                found=there[:200],
                remedy="take an empty folder, or the same arguments",
            )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RECEIPT).unlink(missing_ok=True)
    (directory / BEGUN).write_text(text)


def _text(path: Path) -> str:
    """A receipt; empty where there is none, or it was torn before any file was written."""
    text = path.read_text() if path.is_file() else ""
    return text if text.endswith("}") else ""


def _names(kind: str, numbers: Ints) -> NDArray[np.str_]:
    return np.char.add(f"{kind}-", numbers.astype(str))


def _picked(rng: np.random.Generator, count: int, share: float) -> Ints:
    return np.sort(rng.choice(count, size=round(count * share), replace=False))


def _sent(
    rng: np.random.Generator, payments: Payments, shares: tuple[float, ...], end_ms: int
) -> tuple[tuple[Columns, Ints], int, int, int]:
    """Rows of payments with when each arrives; how many are late, twice, in conflict."""
    count = len(payments)
    late, twice, changed = (_picked(rng, count, share) for share in shares[:3])
    arrival = payments.event_ms.copy()
    arrival[late] += rng.integers(HOUR_MS, 3 * DAY_MS, size=len(late))
    row = np.concatenate([np.arange(count), twice, changed])
    pause = rng.integers(1_000, DAY_MS, size=len(row))
    pause[:count] = 0
    amount = payments.amount_minor[row]
    amount[count + len(twice) :] += 1
    columns = payment_rows(payments, row) | {"amount_minor": amount}
    arrived = np.minimum(arrival[row] + pause, end_ms - 1)
    return (columns, arrived), len(late), len(twice), len(changed)


def payment_rows(payments: Payments, row: Ints | None = None, *, first: int = 0) -> Columns:
    """Payments as rows of their source, those of ``row``; ids count from ``first``."""
    row = np.arange(len(payments)) if row is None else row
    return {
        "event_id": _names("tx", first + row),
        "event_timestamp": payments.event_ms[row],
        "card_id": _names("card", payments.card[row]),
        "terminal_id": _names("terminal", payments.terminal[row]),
        "amount_minor": payments.amount_minor[row],
    }


def label_rows(
    rng: np.random.Generator, payments: Payments, end_ms: int, *, first: int = 0
) -> Columns:
    """Verdicts on payments that are known by ``end_ms``, as rows of their source."""
    known = known_ms(rng, payments)
    row = np.flatnonzero(known < end_ms)
    return {
        "event_id": _names("label", first + row),
        "event_timestamp": known[row],
        "transaction_id": _names("tx", first + row),
        "card_id": _names("card", payments.card[row]),
        "terminal_id": _names("terminal", payments.terminal[row]),
        "is_fraud": payments.is_fraud[row].astype(np.int64),
    }


def _profiles(
    rng: np.random.Generator, cards: Cards, days: int, end_ms: int
) -> tuple[Columns, Ints]:
    """One profile a card the day before it all starts, and changes on Mondays."""
    count = len(cards.weight)
    start_day = end_ms // DAY_MS - days - 1
    changed = _picked(rng, count, CHANGED_PROFILE_SHARE if days >= DAYS_PER_FILE else 0.0)
    monday = start_day + 1 + (4 - start_day - 1) % 7  # 1970-01-05, day 4, was a Monday
    weeks = max(1, (end_ms // DAY_MS - monday) // 7)
    change_day = monday + 7 * rng.integers(weeks, size=len(changed))
    card = np.concatenate([np.arange(count), changed])
    event_ms = np.concatenate([np.full(count, start_day), change_day]) * DAY_MS
    limit = np.round(cards.mean_minor[card] * rng.uniform(20, 60, size=len(card)), -4)
    is_without = rng.random(len(card)) < WITHOUT_LIMIT_SHARE
    country = np.array(COUNTRIES)[rng.integers(len(COUNTRIES), size=count)]
    columns = {
        "event_id": _names("profile", np.arange(len(card))),
        "event_timestamp": event_ms,
        "card_id": _names("card", card),
        "limit_minor": np.ma.masked_array(limit.astype(np.int64), mask=is_without),
        "country": country[card],
        "since_day": cards.since_day[card],
    }
    return columns, event_ms


def _malformed(count: int, end_ms: int) -> list[str]:
    """Lines that break the contract, each in another way than the one before."""
    lines = []
    for number in range(count):
        row: dict[str, Any] = {
            "event_id": f"bad-{number}",
            "event_timestamp": end_ms - HOUR_MS,
            "card_id": "card-0",
            "terminal_id": "terminal-0",
            "amount_minor": 1_000,
        }
        flaws: tuple[dict[str, Any], ...] = (
            {"amount_minor": -5},
            {"amount_minor": "a lot"},
            {"card_id": None},
            {"terminal_id": "not a terminal!"},
            {"event_timestamp": "the day after"},
            {"event_timestamp": end_ms + DAY_MS},
            {"colour": "red"},
        )
        kind = number % (len(flaws) + 1)
        text = json.dumps(row | flaws[kind] if kind < len(flaws) else row)
        lines.append(text if kind < len(flaws) else text[: len(text) // 2])
    return lines


class _Writer:
    """Cuts rows by their arrival into files: Parquet of ten days, then one of NDJSON."""

    def __init__(self, directory: Path, start_ms: int, end_ms: int) -> None:
        self._directory = directory
        days = (end_ms - start_ms) / DAY_MS
        ndjson_ms = end_ms - int(max(1.0, days * NDJSON_SHARE) * DAY_MS)
        steps = np.arange(start_ms + DAYS_PER_FILE * DAY_MS, ndjson_ms, DAYS_PER_FILE * DAY_MS)
        self._edges = [int(edge) for edge in (*steps, ndjson_ms) if edge > start_ms]
        self._end_ms = end_ms

    def write(
        self, source: str, columns: Columns, arrived: Ints, extra: list[str] | None = None
    ) -> tuple[str, ...]:
        """Write one source; paths of its files, in order of arrival."""
        folder = self._directory / source
        folder.mkdir(parents=True, exist_ok=True)
        order = np.argsort(arrived, kind="stable")
        part = np.searchsorted(self._edges, arrived[order], side="right")
        paths = []
        for number in range(len(self._edges) + 1):
            rows = order[part == number]
            is_last = number == len(self._edges)
            if len(rows) == 0 and not (is_last and extra):
                continue
            edge = self._end_ms if is_last else self._edges[number]
            path = folder / f"{number:04d}_until_{event_date(edge - 1)}"
            chunk = {name: values[rows] for name, values in columns.items()}
            write = partial(_write_ndjson, extra=extra or []) if is_last else write_parquet
            paths.append(str(write(path, chunk)))
        return tuple(paths)


def write_parquet(path: Path, columns: Columns) -> Path:
    """Write rows as ``<path>.parquet``; where they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {
        name: pa.array(np.ma.getdata(values), mask=np.ma.getmaskarray(values))
        for name, values in columns.items()
    }
    instants = arrays["event_timestamp"].cast(pa.timestamp("ms", tz="UTC"))
    file = path.with_suffix(".parquet")
    pq.write_table(pa.table({**arrays, "event_timestamp": instants}), file, compression="zstd")
    return file


def _write_ndjson(path: Path, columns: Columns, extra: list[str]) -> Path:
    """Rows as JSON lines, the broken ones spread evenly among them."""
    times = columns["event_timestamp"].astype("datetime64[ms]")
    texts = np.char.add(np.datetime_as_string(times, unit="ms"), "Z")
    lists = [(texts if n == "event_timestamp" else v).tolist() for n, v in columns.items()]
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True))
    lines = [json.dumps(row) for row in rows]
    for number, line in enumerate(extra):
        lines.insert((number * len(lines)) // len(extra), line)
    file = path.with_suffix(".ndjson")
    file.write_text("\n".join(lines) + "\n")
    return file
