"""Which part of a training set an example belongs to: pure arithmetic on times and ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError


@dataclass(frozen=True)
class TimeSplit:
    """Instants that cut a training set; all in epoch milliseconds.

    train: t < ``train_end_ms``; validation: ``validation_start_ms`` <= t <
    ``validation_end_ms``; test: t >= ``test_start_ms``. What lies between is in no part:
    its label was not known yet when the next part began.
    """

    train_end_ms: int
    validation_start_ms: int
    validation_end_ms: int
    test_start_ms: int


def time_split(
    event_ms: NDArray[np.int64], *, validation_share: float, test_share: float, gap_ms: int
) -> TimeSplit:
    """Cut by time with a gap before validation and before test.

    Shares are of the examples that are kept, as far as whole instants allow: examples of one
    instant stay together.

    Raises
    ------
    InvalidInputError
        If a part would be empty.

    Examples
    --------
    >>> time_split(np.arange(100), validation_share=0.2, test_share=0.2, gap_ms=10)
    TimeSplit(train_end_ms=48, validation_start_ms=58, validation_end_ms=74, test_start_ms=84)
    """
    ordered = np.sort(event_ms)
    n = len(ordered)
    span_ms = int(ordered[-1] - ordered[0]) if n else 0
    n_kept = n * max(0.0, 1.0 - 2.0 * gap_ms / span_ms) if span_ms else 0.0
    n_test, n_validation = round(n_kept * test_share), round(n_kept * validation_share)
    if not (n_test and n_validation):
        raise _too_short(span_ms, gap_ms)
    test_start_ms = int(ordered[n - n_test])
    validation_end_ms = test_start_ms - gap_ms
    n_before = int(np.searchsorted(ordered, validation_end_ms, side="left"))
    if n_before <= n_validation:
        raise _too_short(span_ms, gap_ms)
    validation_start_ms = int(ordered[n_before - n_validation])
    split = TimeSplit(
        validation_start_ms - gap_ms, validation_start_ms, validation_end_ms, test_start_ms
    )
    if int(ordered[0]) >= split.train_end_ms:
        raise _too_short(span_ms, gap_ms)
    return split


def _too_short(span_ms: int, gap_ms: int) -> InvalidInputError:
    return InvalidInputError(
        "the examples span too little time for three parts with gaps between them",
        found=f"{span_ms / 86_400_000:.1f} days, gaps of {gap_ms / 86_400_000:.1f} days",
        remedy="start earlier, or declare a stratified split",
        code="too_few_examples",
    )


def stratified_split(
    ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    *,
    validation_share: float,
    test_share: float,
    seed: int,
) -> NDArray[np.str_]:
    """Part of each example, every class cut in the same shares, at random but reproducibly.

    The draw depends on the ids and the seed, never on the order of rows.

    Examples
    --------
    >>> parts = stratified_split(np.array(["a", "b", "c", "d"]), np.array([0, 0, 0, 0]),
    ...     validation_share=0.25, test_share=0.25, seed=1)
    >>> sorted(parts.tolist())
    ['test', 'train', 'train', 'validation']
    """
    parts = np.full(len(ids), "train", dtype="<U10")
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(ids[rows], kind="stable")]
        rows = np.random.default_rng([seed, int(label)]).permutation(rows)
        n_test, n_validation = round(len(rows) * test_share), round(len(rows) * validation_share)
        parts[rows[:n_test]] = "test"
        parts[rows[n_test : n_test + n_validation]] = "validation"
    return parts
