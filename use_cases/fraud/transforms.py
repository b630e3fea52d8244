"""Request-time functions of the fraud use case: pure, vectorised, float64 in and out.

The digest of each is in every plan and bundle. A change of meaning is a new name.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float64]]

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
NIGHT_ENDS_AT_HOUR = 6
THURSDAY = 3  # 1970-01-01 was one; Monday is 0
SATURDAY = 5


def payment(inputs: Arrays) -> dict[str, NDArray[np.float64]]:
    """The payment asked for: its amount, when, and how it compares with the card's habit.

    Night is 00:00 to 06:00 UTC, weekend is Saturday and Sunday UTC. A card without
    payments in the last 30 days has no habit: the ratio is null.
    """
    amount, at_ms = inputs["amount_minor"], inputs["at_ms"]
    habit = inputs["amount_minor_mean_30d"]
    day = np.floor(at_ms / DAY_MS)
    is_weekend = np.mod(day + THURSDAY, 7) >= SATURDAY
    is_night = np.floor(np.mod(at_ms, DAY_MS) / HOUR_MS) < NIGHT_ENDS_AT_HOUR
    is_timed = np.isfinite(at_ms)
    return {
        "amount": amount,
        "is_weekend": np.where(is_timed, is_weekend, np.nan),
        "is_night": np.where(is_timed, is_night, np.nan),
        "amount_over_mean": np.where(habit > 0, amount / habit, np.nan),
    }


def standing(inputs: Arrays) -> dict[str, NDArray[np.float64]]:
    """How the card stands: its age in days, and the payment as a share of its limit.

    A card without a profile, or without a limit, has nulls.
    """
    limit = inputs["limit_minor"]
    return {
        "card_age_days": np.floor(inputs["at_ms"] / DAY_MS) - inputs["since_day"],
        "amount_over_limit": np.where(limit > 0, inputs["amount_minor"] / limit, np.nan),
    }
