"""Payments of people who do not exist: habits, and three ways to defraud them.

The scenarios are those of the Fraud Detection Handbook, loosened so that no single rule
finds them: honest cards make large purchases and go shopping too, a compromised terminal
still takes honest payments, and a thief's amounts overlap with the owner's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY_MS, HOUR_MS, MINUTE_MS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PAYMENTS_PER_CARD_DAY = 2.0
TERMINALS_PER_CARD = 2
NOON_MS, SPREAD_MS = 12.5 * HOUR_MS, 5.2 * HOUR_MS
WEEKEND_WEIGHT = 0.8
COMPANION_SHARE = 0.08
"""Share of payments that follow another of the card within the hour: a shopping trip."""

LARGE_FRAUD_SHARE, LARGE_HONEST_SHARE = 0.0012, 0.001
COMPROMISED_SHARE, COMPROMISED_DAYS, COMPROMISED_HIT_SHARE = 0.0042, 28, 0.95
STOLEN_SHARE, STOLEN_BURST = 0.0033, 8.0
REPORT_DELAY_DAYS = (1.0, 3.0, 7.0)
CONFIRMED_AFTER_MS = 7 * DAY_MS
"""A payment that nobody disputed counts as honest when the labels mature."""


@dataclass(frozen=True)
class Cards:
    """Habits, one entry a card. Amounts in minor units, ``since_day`` in days since 1970."""

    weight: Floats
    mean_minor: Floats
    home: Ints
    since_day: Ints
    terminals: int


@dataclass(frozen=True)
class Payments:
    """Payments in order of time; cards and terminals as numbers from 0."""

    event_ms: Ints
    card: Ints
    terminal: Ints
    amount_minor: Ints
    is_fraud: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.event_ms)

    def take(self, rows: Ints | NDArray[np.bool_]) -> Payments:
        """Those rows, in their order."""
        return Payments(*(getattr(self, each.name)[rows] for each in fields(self)))


def draw_cards(rng: np.random.Generator, payments: int, days: int, end_ms: int) -> Cards:
    """As many cards as make ``payments`` in ``days`` at two a day."""
    count = max(20, round(payments / days / PAYMENTS_PER_CARD_DAY))
    terminals = TERMINALS_PER_CARD * count
    weight = rng.gamma(2.0, size=count)
    return Cards(
        weight=np.cumsum(weight) / weight.sum(),
        mean_minor=rng.uniform(800, 9_000, size=count),
        home=rng.integers(terminals, size=count),
        since_day=end_ms // DAY_MS - days - rng.integers(1, 3_000, size=count),
        terminals=terminals,
    )


def draw_payments(
    rng: np.random.Generator, cards: Cards, count: int, days: int, end_ms: int
) -> Payments:
    """Exactly ``count`` payments in the ``days`` before ``end_ms``, frauds among them."""
    stolen = _stolen(rng, cards, round(count * STOLEN_SHARE), days, end_ms)
    honest = _habitual(rng, cards, count - len(stolen), days, end_ms)
    is_large = _made_large(rng, honest.amount_minor)
    is_compromised = _compromised(rng, cards, honest, days, end_ms)
    honest = Payments(
        event_ms=honest.event_ms,
        card=honest.card,
        terminal=honest.terminal,
        amount_minor=honest.amount_minor,
        is_fraud=is_large | is_compromised,
    )
    return in_order(honest, stolen)


def known_ms(rng: np.random.Generator, payments: Payments) -> Ints:
    """When the verdict on each payment becomes known: at the latest after seven days."""
    reported = (rng.triangular(*REPORT_DELAY_DAYS, size=len(payments)) * DAY_MS).astype(np.int64)
    delay = np.where(payments.is_fraud, reported, CONFIRMED_AFTER_MS)
    return payments.event_ms + delay


def _times(rng: np.random.Generator, count: int, days: int, end_ms: int) -> Ints:
    """Instants in ``[end_ms - days, end_ms)``: mostly by day, fewer at the weekend."""
    start_ms = end_ms - days * DAY_MS
    found = np.empty(0, dtype=np.int64)
    while len(found) < count:
        wanted = 2 * (count - len(found)) + 100
        day = rng.integers(start_ms // DAY_MS, end_ms // DAY_MS + 1, size=wanted)
        instant = day * DAY_MS + rng.normal(NOON_MS, SPREAD_MS, size=wanted).astype(np.int64)
        is_weekend = (instant // DAY_MS + 3) % 7 >= 5  # 1970-01-01 was a Thursday
        is_kept = ~is_weekend | (rng.random(wanted) < WEEKEND_WEIGHT)
        is_kept &= (instant >= start_ms) & (instant < end_ms)
        found = np.concatenate([found, instant[is_kept]])
    return found[:count]


def _habitual(
    rng: np.random.Generator, cards: Cards, count: int, days: int, end_ms: int
) -> Payments:
    card = np.searchsorted(cards.weight, rng.random(count)).astype(np.int64)
    event_ms = _times(rng, count, days, end_ms)
    terminal = cards.home[card] + rng.normal(0, 6, size=count).astype(np.int64)
    follower = rng.random(count) < COMPANION_SHARE
    leader = rng.integers(count, size=int(follower.sum()))
    pause = rng.exponential(15 * MINUTE_MS, size=len(leader)).astype(np.int64)
    card[follower] = card[leader]
    event_ms[follower] = np.minimum(event_ms[leader] + pause, end_ms - 1)
    terminal[follower] = terminal[leader] + rng.integers(-3, 4, size=len(leader))
    amount = cards.mean_minor[card] * rng.lognormal(-0.15, 0.55, size=count)
    return Payments(
        event_ms=event_ms,
        card=card,
        terminal=terminal % cards.terminals,
        amount_minor=np.maximum(amount, 50).astype(np.int64),
        is_fraud=np.zeros(count, dtype=np.bool_),
    )


def _made_large(rng: np.random.Generator, amount_minor: Ints) -> NDArray[np.bool_]:
    """Multiply a few amounts in place, more of them honest than not; which are frauds."""
    draw = rng.random(len(amount_minor))
    is_fraud = draw < LARGE_FRAUD_SHARE
    is_honest = ~is_fraud & (draw < LARGE_FRAUD_SHARE + LARGE_HONEST_SHARE)
    factor = np.ones(len(amount_minor))
    factor[is_fraud] = rng.uniform(6, 12, size=int(is_fraud.sum()))
    factor[is_honest] = rng.uniform(3, 5, size=int(is_honest.sum()))
    amount_minor[:] = (amount_minor * factor).astype(np.int64)
    return is_fraud


def _compromised(
    rng: np.random.Generator, cards: Cards, payments: Payments, days: int, end_ms: int
) -> NDArray[np.bool_]:
    """Most payments at a terminal in the four weeks after it was tampered with."""
    length_ms = COMPROMISED_DAYS * DAY_MS
    a_day = len(payments) / days / cards.terminals
    hits = max(1.0, a_day * COMPROMISED_DAYS * COMPROMISED_HIT_SHARE)
    # An episode may begin before the first day, so that the share of frauds has no ramp.
    episodes = round(len(payments) * COMPROMISED_SHARE / hits * (1 + COMPROMISED_DAYS / days))
    episodes = min(max(episodes, 1), cards.terminals)
    start_ms = np.full(cards.terminals, end_ms, dtype=np.int64)
    tampered = rng.choice(cards.terminals, size=episodes, replace=False)
    start_ms[tampered] = end_ms - rng.integers(days * DAY_MS + length_ms, size=episodes)
    began = start_ms[payments.terminal]
    is_inside = (payments.event_ms >= began) & (payments.event_ms < began + length_ms)
    return is_inside & (rng.random(len(payments)) < COMPROMISED_HIT_SHARE)


def _stolen(rng: np.random.Generator, cards: Cards, count: int, days: int, end_ms: int) -> Payments:
    """Bursts of a few hours, at any hour, away from home, with somewhat larger amounts."""
    episode = np.sort(rng.integers(max(1, round(count / STOLEN_BURST)), size=count))
    episodes = int(episode[-1]) + 1 if count else 0
    victim = rng.integers(len(cards.weight), size=episodes)
    begin_ms = end_ms - rng.integers(6 * HOUR_MS, max(2, days) * DAY_MS, size=episodes)
    place = rng.integers(cards.terminals, size=episodes)
    card = victim[episode]
    after_ms = rng.exponential(45 * MINUTE_MS, size=count).astype(np.int64)
    amount = cards.mean_minor[card] * rng.uniform(1.0, 5.0, size=count)
    return Payments(
        event_ms=np.minimum(begin_ms[episode] + after_ms, end_ms - 1),
        card=card,
        terminal=(place[episode] + rng.integers(-20, 21, size=count)) % cards.terminals,
        amount_minor=amount.astype(np.int64),
        is_fraud=np.ones(count, dtype=np.bool_),
    )


def in_order(*parts: Payments) -> Payments:
    """All of them as one, by time."""
    names = [each.name for each in fields(Payments)]
    whole = Payments(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))
    return whole.take(np.argsort(whole.event_ms, kind="stable"))
