"""Points on which a model and its ONNX form are compared: where conversions go wrong.

Rows of the training set, draws from the declared ranges, nulls alone and together, the
largest float32 values, the thresholds inside the trees with their neighbours one ulp
away, and, found by bisection, points whose score lies on a decision threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from stores.shelf.profile import Profile

Vectors = NDArray[np.float32]
Score = Callable[[Vectors], NDArray[np.floating]]

NULL_SHARE = 0.1
LARGEST = np.finfo(np.float32).max
EXTREMES = (0.0, -1.0, 1.0, 1e6, -1e6, 1e12, float(LARGEST), -float(LARGEST))
MAX_SPLITS = 4_000
BISECTIONS = 60
ROUNDS, CHANGES, KEPT = 4, 40, 400
TREE_OPERATORS = ("TreeEnsembleRegressor", "TreeEnsembleClassifier")


def ranges_of(profile: Profile, names: Sequence[str]) -> NDArray[np.float64]:
    """Declared range of each feature: first and last edge of its histogram, shape ``(d, 2)``."""
    edges = [profile.features[name].edges for name in names]
    return np.asarray([(edge[0], edge[-1]) for edge in edges], dtype=np.float64)


def drawn_points(ranges: NDArray[np.float64], n: int, seed: int) -> Vectors:
    """Points drawn from ``ranges``: half uniform, half near the lower end, a tenth null.

    Counts stay whole where both ends of a range are: a range of whole numbers is one of
    counts or of money in minor units.
    """
    generator = np.random.default_rng(seed)
    share = generator.random((n, len(ranges)))
    share[: n // 2] **= 3
    low, high = ranges[:, 0], ranges[:, 1]
    points = low + share * (high - low)
    is_whole = (np.floor(low) == low) & (np.floor(high) == high) & (high - low > 1)
    points = np.where(is_whole, np.round(points), points)
    points[generator.random(points.shape) < NULL_SHARE] = np.nan
    return points.astype(np.float32)


def extreme_points(typical: Vectors) -> Vectors:
    """Each feature in turn null or extreme, the others as in one typical row; then all at once.

    ``typical`` has shape ``(d,)``.
    """
    n_features = len(typical)
    values = np.asarray([np.nan, *EXTREMES], dtype=np.float32)
    points = np.repeat(typical[np.newaxis], n_features * len(values), axis=0)
    for index in range(n_features):
        block = slice(index * len(values), (index + 1) * len(values))
        points[block, index] = values
    return np.concatenate([points, np.repeat(values[:, np.newaxis], n_features, axis=1)])


def split_points(model: bytes, rows: Vectors, seed: int) -> Vectors:
    """Points on the thresholds of an ONNX model's trees, and one float32 step either side.

    A threshold held in float64 by the source is rounded in ONNX: only a value between the
    two tells them apart. Other features are those of ``rows``, drawn anew. No infinity is
    ever made, because ``vector_of`` never makes one.
    """
    splits = _splits(model)
    if not splits:
        return np.empty((0, rows.shape[1]), dtype=np.float32)
    generator = np.random.default_rng(seed)
    chosen = np.asarray(splits)[generator.permutation(len(splits))[:MAX_SPLITS]]
    features, thresholds = chosen[:, 0].astype(np.int64), chosen[:, 1].astype(np.float32)
    blocks = []
    for towards in (-np.inf, None, np.inf):
        block = rows[generator.integers(0, len(rows), len(chosen))].copy()
        moved = thresholds if towards is None else np.nextafter(thresholds, np.float32(towards))
        block[np.arange(len(block)), features] = np.clip(moved, -LARGEST, LARGEST)
        blocks.append(block)
    return np.concatenate(blocks)


def _splits(model: bytes) -> list[tuple[int, float]]:
    found: set[tuple[int, float]] = set()
    for node in onnx.load_model_from_string(model).graph.node:
        if node.op_type in TREE_OPERATORS:
            held = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            rows = zip(
                held["nodes_modes"], held["nodes_featureids"], held["nodes_values"], strict=True
            )
            found.update((feature, value) for mode, feature, value in rows if mode != b"LEAF")
    return sorted(found)


def points_at(score: Score, rows: Vectors, threshold: float, n: int, seed: int) -> Vectors:
    """Points whose ``score`` is as near to ``threshold`` as float32 inputs allow.

    Up to ``n`` pairs of rows on different sides are drawn and bisected until they are
    neighbours; both ends are returned. Where no two rows lie on different sides there is
    nothing to find: the answer is empty.
    """
    generator = np.random.default_rng(seed)
    is_above = np.asarray(score(rows)) > threshold
    if is_above.all() or not is_above.any():
        return np.empty((0, rows.shape[1]), dtype=np.float32)
    above = rows[generator.choice(np.flatnonzero(is_above), n)]
    below = rows[generator.choice(np.flatnonzero(~is_above), n)]
    below = np.where(
        np.isnan(above) | np.isnan(below), above, below
    )  # no way between null and value
    is_pair = np.asarray(score(below)) <= threshold
    above, below = above[is_pair], below[is_pair]
    for _ in range(BISECTIONS if len(above) else 0):
        middle = (above.astype(np.float64) * 0.5 + below.astype(np.float64) * 0.5).astype(
            np.float32
        )
        is_high = (np.asarray(score(middle)) > threshold)[:, np.newaxis]
        above, below = np.where(is_high, middle, above), np.where(is_high, below, middle)
    return np.concatenate([above, below])


def nearest_points(
    score: Score, starts: Vectors, rows: Vectors, threshold: float, seed: int
) -> Vectors:
    """Points with the scores nearest to ``threshold`` that small changes of ``starts`` reach.

    Scores of trees are steps, so bisection ends at the edges of a step, not at the
    threshold. Each round takes the nearest points, gives one feature of each the value of
    another row, and keeps the nearest again.
    """
    if len(starts) == 0:
        return starts
    generator = np.random.default_rng(seed)
    kept = starts
    for _ in range(ROUNDS):
        changed = np.repeat(kept, CHANGES, axis=0)
        features = generator.integers(0, rows.shape[1], len(changed))
        others = generator.integers(0, len(rows), len(changed))
        changed[np.arange(len(changed)), features] = rows[others, features]
        pool = _distinct(np.concatenate([kept, changed]))
        distance = np.abs(np.asarray(score(pool), dtype=np.float64) - threshold)
        kept = pool[np.argsort(distance, kind="stable")[:KEPT]]
    return kept


def _distinct(rows: Vectors) -> Vectors:
    """Each row once, told apart by its bytes: six times as quick as number by number."""
    whole = np.ascontiguousarray(rows)
    as_bytes = whole.view(np.dtype((np.void, whole.itemsize * whole.shape[1])))
    found: Vectors = np.unique(as_bytes).view(whole.dtype).reshape(-1, whole.shape[1])
    return found
