"""Runs of an array reduced one by one, vectorised and reproducible.

A run is a stretch of rows that stand together; ``starts`` holds where each begins, the
first at 0. Integers and extremes reduce exactly in any order; pairs of floats are merged
in one fixed tree, so equal input gives equal bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.features import hll, sums
from core.features.arrays import BoolArray, FloatArray, IntArray


def run_starts(*keys: IntArray) -> IntArray:
    """Where runs of equal keys begin, in arrays sorted by these keys.

    Examples
    --------
    >>> run_starts(np.array([7, 7, 8]), np.array([1, 2, 2])).tolist()
    [0, 1, 2]
    """
    n = len(keys[0])
    is_new = np.zeros(n, np.bool_)
    is_new[:1] = True
    for key in keys:
        is_new[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(is_new)


def run_lengths(starts: IntArray, n: int) -> IntArray:
    """Number of members of each run."""
    return np.diff(np.append(starts, n))


def pair_sums(hi: FloatArray, lo: FloatArray, starts: IntArray) -> tuple[FloatArray, FloatArray]:
    """Sum of the double-doubles of each run, merged pairwise: neighbours, then their sums.

    Examples
    --------
    >>> hi, lo = pair_sums(np.array([1e16, 1.0, 2.0]), np.zeros(3), np.array([0, 2]))
    >>> hi.tolist(), lo.tolist()
    ([1e+16, 2.0], [1.0, 0.0])
    """
    out_hi, out_lo = np.zeros(len(starts)), np.zeros(len(starts))
    runs, lengths = np.arange(len(starts)), run_lengths(starts, len(hi))
    while len(runs):
        starts = np.cumsum(lengths) - lengths
        is_done = lengths == 1
        out_hi[runs[is_done]], out_lo[runs[is_done]] = hi[starts[is_done]], lo[starts[is_done]]
        is_open = np.repeat(~is_done, lengths)
        hi, lo, runs, lengths = hi[is_open], lo[is_open], runs[~is_done], lengths[~is_done]
        hi, lo, lengths = _halved(hi, lo, lengths)
    return out_hi, out_lo


def _halved(
    hi: FloatArray, lo: FloatArray, lengths: IntArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """One level of the tree: each second member of a run merged into the one before it."""
    places = np.arange(len(hi)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    left = np.flatnonzero(places % 2 == 0)
    halves = (lengths + 1) // 2
    has_right = places[left] + 1 < np.repeat(lengths, halves)
    new_hi, new_lo = hi[left], lo[left]
    pairs = left[has_right]
    new_hi[has_right], new_lo[has_right] = sums.merge(
        hi[pairs], lo[pairs], hi[pairs + 1], lo[pairs + 1]
    )
    return new_hi, new_lo, halves


def last_where(valid: BoolArray, starts: IntArray) -> IntArray:
    """Index of the last member of each run where ``valid`` holds; -1 where none does.

    Examples
    --------
    >>> last_where(np.array([True, False, False]), np.array([0, 2])).tolist()
    [0, -1]
    """
    if not len(starts):
        return np.zeros(0, np.int64)
    places = np.where(valid, np.arange(len(valid)), -1)
    return np.asarray(np.maximum.reduceat(places, starts))


def register_ranks(
    runs: IntArray, registers: NDArray[np.uint8], ranks: NDArray[np.uint8]
) -> tuple[IntArray, NDArray[np.uint8], NDArray[np.uint8]]:
    """Greatest rank of each register of each run, ordered by run and register.

    Examples
    --------
    >>> registers, ranks = np.array([9, 3, 9], np.uint8), np.array([1, 2, 4], np.uint8)
    >>> [a.tolist() for a in register_ranks(np.array([0, 0, 0]), registers, ranks)]
    [[0, 0], [3, 9], [2, 4]]
    """
    keys = runs * hll.REGISTERS + registers
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = run_starts(keys)
    if not len(starts):
        return keys, registers[:0], ranks[:0]
    keys, greatest = keys[starts], np.maximum.reduceat(ranks[order], starts)
    return keys // hll.REGISTERS, (keys % hll.REGISTERS).astype(np.uint8), greatest


def estimates(runs: IntArray, ranks: NDArray[np.uint8], n_runs: int) -> FloatArray:
    """`core.features.hll.estimate` of each run, from the touched registers' ranks.

    Examples
    --------
    >>> estimates(np.array([0, 0]), np.array([1, 2], np.uint8), 2).tolist()
    [2.0, 0.0]
    """
    flat = np.bincount(runs * hll.RANKS + ranks, minlength=n_runs * hll.RANKS)
    counts = flat.reshape(n_runs, hll.RANKS).astype(np.float64)
    counts[:, 0] = hll.REGISTERS - counts.sum(axis=1)
    harmonic = np.zeros(n_runs)
    for rank in range(hll.RANKS - 1, -1, -1):  # one order, so the same rounding as in hll
        harmonic += counts[:, rank] * 2.0**-rank
    raw = hll.RAW_SCALE / harmonic
    linear = np.array(hll.LINEAR_COUNTS)[counts[:, 0].astype(np.int64)]
    is_linear = (raw <= hll.LINEAR_LIMIT) & (counts[:, 0] > 0)
    return np.rint(np.where(is_linear, linear, raw)).astype(np.float64)
