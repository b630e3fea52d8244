"""How the simulated world shifts: people begin to buy small things online, and thieves follow.

From a date on every card pays now and then at a few new shops that sell songs and games: small
amounts, at any hour, on top of what it did before. Thieves try stolen cards there: runs of
payments within minutes, as small as the honest ones. What went in before goes on unchanged, so
what moves is the mix of amounts (covariate) and what a fraud looks like (concept).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.clock import DAY_MS, HOUR_MS, SECOND_MS, date_start_ms, event_date
from core.errors import NotReadyError
from use_cases.fraud.simulated_payments import (
    Cards,
    Ints,
    Payments,
    draw_cards,
    draw_payments,
    in_order,
)
from use_cases.fraud.simulator import (
    RECEIPT,
    Columns,
    label_rows,
    payment_rows,
    write_parquet,
)
from use_cases.fraud.sources import COUNTRIES

SHIFT_RECEIPT, SHIFT_NAME = "shift.json", "shift"
SHIFTED_SOURCES = ("transactions", "fraud_labels")
SHOPS = 30
SMALL_SHARE = 0.6
"""Honest small payments a day, as a share of all payments a day before."""

SMALL_MINOR, SMALL_SPREAD = 600.0, 0.4
TESTED_SHARE = 0.012
"""Payments of thieves a day, as a share of all payments a day before."""

TESTED_RUN, TESTED_PAUSE_S = 8.0, 20.0
EMPTIED_SOURCE, EMPTIED_NAME, EMPTIED_ROWS = "card_profiles", "without_limits", 300
LEAST_GAP_MS = 6 * HOUR_MS
"""A world that ended longer ago than this goes on to the present as it was, too."""


@dataclass(frozen=True)
class Shift:
    """A shifted world and what came of it. ``first_date`` is that of the earliest payment."""

    start_date: str
    first_date: str
    end_ms: int
    payments: int
    frauds: int
    labels: int


def is_shifted(directory: Path) -> bool:
    """Whether a simulated world has shifted, and its files are written."""
    return (directory / SHIFT_RECEIPT).is_file() and all(
        any((directory / source).glob(f"{SHIFT_NAME}*")) for source in SHIFTED_SOURCES
    )


def shifted(directory: Path, *, days: int, now_ms: int) -> Shift:
    """Write what a simulated world sends once it has shifted, ``days`` before now.

    The cards are those of the simulation in ``directory``, whose payments stay as they are. Where
    that ended a while ago, its own kind of payments go on to ``now_ms`` besides. A world shifts
    once: the next call finds by its receipt the same dates, and writes the files that are missing.

    Raises
    ------
    NotReadyError
        If there is no simulation in the folder.
    """
    world, dates = _world(directory), _dates(directory, days=days, now_ms=now_ms)
    rng = np.random.default_rng([world["seed"], 1])
    cards, end_ms = _cards(world), dates["end_ms"]
    a_day = world["transactions"] / world["days"]
    payments = in_order(
        _gone_on(rng, cards, a_day, world["end_ms"], end_ms),
        _bought(rng, cards, a_day, dates["start_ms"], end_ms),
        _tested(rng, cards, a_day, dates["start_ms"], end_ms),
    )
    first = int(world["transactions"])  # ids go on where those of the simulation end
    labels = label_rows(rng, payments, end_ms, first=first)
    rows = (payment_rows(payments, first=first), labels)
    for source, columns in zip(SHIFTED_SOURCES, rows, strict=True):
        _landed(directory, source, f"{SHIFT_NAME}_until_{event_date(end_ms - 1)}", columns)
    return Shift(
        start_date=event_date(dates["start_ms"]),
        first_date=event_date(int(payments.event_ms[0])),
        end_ms=end_ms,
        payments=len(payments),
        frauds=int(payments.is_fraud.sum()),
        labels=len(labels["event_id"]),
    )


def _dates(directory: Path, *, days: int, now_ms: int) -> dict[str, int]:
    """Since when the world is another, and until when; put down before any file is written."""
    path = directory / SHIFT_RECEIPT
    if not path.is_file():
        end_ms = now_ms // HOUR_MS * HOUR_MS
        start_ms = date_start_ms(event_date(end_ms - days * DAY_MS))
        path.write_text(json.dumps({"start_ms": start_ms, "end_ms": end_ms}))
    found: dict[str, int] = json.loads(path.read_text())
    return found


def _landed(directory: Path, source: str, name: str, columns: Columns) -> None:
    """A file of a source, whole or not there: whoever lands files takes all that he sees."""
    path = directory / source / f"{name}.parquet"
    if not path.exists():
        write_parquet(directory / f".{source}", columns).replace(path)


def is_emptied(directory: Path) -> bool:
    """Whether the file of profiles without limits is there."""
    return any((directory / EMPTIED_SOURCE).glob(f"{EMPTIED_NAME}*"))


def emptied(directory: Path, *, now_ms: int) -> int:
    """Write yesterday's profiles of a system that has lost all limits; how many rows.

    A card may have no limit, so each row keeps the contract: it shows beside the days before.
    """
    world = _world(directory)
    rng, cards = np.random.default_rng([world["seed"], 2]), _cards(world)
    count = min(EMPTIED_ROWS, len(cards.weight))
    card = rng.choice(len(cards.weight), size=count, replace=False)
    day_ms = date_start_ms(event_date(now_ms)) - DAY_MS
    number = 10 * len(cards.weight) + np.arange(count)  # no id of the simulation
    columns: Columns = {
        "event_id": np.char.add("profile-", number.astype(str)),
        "event_timestamp": day_ms + np.sort(rng.integers(DAY_MS, size=count)),
        "card_id": np.char.add("card-", card.astype(str)),
        "limit_minor": np.ma.masked_array(
            np.zeros(count, dtype=np.int64), mask=np.ones(count, dtype=np.bool_)
        ),
        "country": np.array(COUNTRIES)[rng.integers(len(COUNTRIES), size=count)],
        "since_day": cards.since_day[card],
    }
    _landed(directory, EMPTIED_SOURCE, f"{EMPTIED_NAME}_of_{event_date(day_ms)}", columns)
    return count


def new_shop(directory: Path) -> str:
    """One of the shops that came with the shift."""
    return f"terminal-{_cards(_world(directory)).terminals}"


def busiest_card(directory: Path) -> str:
    """The card that pays most in a simulated world: the same whenever it is asked for."""
    weight = np.diff(_cards(_world(directory)).weight, prepend=0.0)
    return f"card-{int(np.argmax(weight))}"


def _world(directory: Path) -> dict[str, int]:
    """Arguments of the simulation in a folder."""
    path = directory / RECEIPT
    if not path.is_file():
        raise NotReadyError(
            "there is no simulated world that could shift",
            found=f"no {RECEIPT} in {directory}",
            remedy="simulate one first: `throughline demo`",
        )
    world: dict[str, int] = json.loads(path.read_text())
    return world


def _cards(world: dict[str, int]) -> Cards:
    """The cards of a simulation, drawn again."""
    rng = np.random.default_rng(world["seed"])
    return draw_cards(rng, world["transactions"], world["days"], world["end_ms"])


def _gone_on(
    rng: np.random.Generator, cards: Cards, a_day: float, from_ms: int, end_ms: int
) -> Payments:
    """Payments of the former kind since the simulation ended; none when that was just now."""
    days = -(-(end_ms - from_ms) // DAY_MS) if end_ms - from_ms > LEAST_GAP_MS else 0
    count = round(a_day * days)
    if count < 1:
        return _nothing()
    drawn = draw_payments(rng, cards, count, days, end_ms)
    return drawn.take(drawn.event_ms >= from_ms)


def _bought(
    rng: np.random.Generator, cards: Cards, a_day: float, start_ms: int, end_ms: int
) -> Payments:
    """Small honest payments, spread evenly over cards by how much they pay, shops and hours."""
    count = round(a_day * SMALL_SHARE * (end_ms - start_ms) / DAY_MS)
    return Payments(
        event_ms=rng.integers(start_ms, end_ms, size=count),
        card=np.searchsorted(cards.weight, rng.random(count)).astype(np.int64),
        terminal=cards.terminals + rng.integers(SHOPS, size=count),
        amount_minor=_small(rng, count),
        is_fraud=np.zeros(count, dtype=np.bool_),
    )


def _tested(
    rng: np.random.Generator, cards: Cards, a_day: float, start_ms: int, end_ms: int
) -> Payments:
    """Runs of payments within minutes on a stolen card, each run at one shop."""
    count = round(a_day * TESTED_SHARE * (end_ms - start_ms) / DAY_MS)
    runs = max(1, round(count / TESTED_RUN))
    run = np.sort(rng.integers(runs, size=count))
    begin_ms = rng.integers(start_ms, end_ms - HOUR_MS, size=runs)
    pause = rng.exponential(TESTED_PAUSE_S * SECOND_MS, size=count).astype(np.int64) + SECOND_MS
    since = np.cumsum(pause)
    began = np.searchsorted(run, run)  # where the run of each payment begins
    return Payments(
        event_ms=np.minimum(begin_ms[run] + since - since[began], end_ms - 1),
        card=rng.integers(len(cards.weight), size=runs)[run],
        terminal=(cards.terminals + rng.integers(SHOPS, size=runs))[run],
        amount_minor=_small(rng, count),
        is_fraud=np.ones(count, dtype=np.bool_),
    )


def _small(rng: np.random.Generator, count: int) -> Ints:
    amount = SMALL_MINOR * rng.lognormal(0.0, SMALL_SPREAD, size=count)
    return np.maximum(amount, 50).astype(np.int64)


def _nothing() -> Payments:
    nothing = np.empty(0, dtype=np.int64)
    return Payments(nothing, nothing, nothing, nothing, np.empty(0, dtype=np.bool_))
