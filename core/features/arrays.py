"""Rows and points as arrays: what the kernel and the tiles take. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Codes = NDArray[Any]
"""Entity codes, int32 or int64; the kernel needs no more than 32 bits."""

TieRanks = Callable[[IntArray], IntArray]
"""Maps indices of rows to numbers that order rows of equal entity and event time."""


@dataclass(frozen=True)
class Column:
    """One column of the rows.

    ``values`` is int64 (integers, booleans, instants in ms) or float64; a string column
    holds what its view asks of it: hashes (`core.features.hll.hash64`, the 64 bits read as a
    signed integer) in a view of windows, indices of the declared categories in a view of
    attributes. ``valid`` is False where the value is missing; what ``values`` holds there
    is ignored. None means that every value is there.
    """

    values: IntArray | FloatArray
    valid: BoolArray | None = None


@dataclass(frozen=True)
class Rows:
    """Rows of one source, in any order.

    Attributes
    ----------
    entity
        Codes from 0; rows of one entity share one. Negative codes are refused.
    event_ms
        When each row happened.
    known
        What a point's ``known`` is compared with: ``available_ms`` for points that say
        `KnownAt`, the position for points that say `SeenUpTo`.
    tie
        Orders rows of equal entity and event time: the rank by (available_at, event_id).
        An array with one number a row, or a function of row indices, asked only for rows
        that tie. None where no feature reads the order of ties.
    columns
        By column name of the view.
    """

    entity: Codes
    event_ms: IntArray
    known: IntArray
    tie: IntArray | TieRanks | None
    columns: Mapping[str, Column]

    def tie_ranks(self, indices: IntArray) -> IntArray:
        """Numbers that order the rows at ``indices`` where entity and event time are equal."""
        if self.tie is None:
            return np.zeros(len(indices), np.int64)
        return self.tie(indices) if callable(self.tie) else self.tie[indices]


@dataclass(frozen=True)
class Points:
    """Points to answer, in any order; -1 is an entity that no row has."""

    entity: Codes
    at_ms: IntArray
    known: IntArray
