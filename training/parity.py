"""The gate before a bundle exists: the source model against ONNX Runtime.

At least 10,000 points; scores equal to 1e-5 on 99.99 % of them; every score a number; no
decision turned, not even where a score lies within 1e-6 of a threshold. Decisions are
taken at ``threshold + MARGIN`` for that reason. A decision counts as turned when a score
changes its side of a constant that any rule compares it with, whatever else the rule reads.
Where a source score lies on that very line and the served one beside it, by no more than
float noise, nothing is wrong with the conversion: such points are sought too, counted as
``n_on_line`` and shown in the card.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.decisions import MARGIN, DecisionPolicy
from core.errors import IntegrityError
from core.features.plan import Frozen
from training import points as at
from training.points import Score, Vectors

MIN_POINTS = 10_000
TOLERANCE = 1e-5
MIN_SHARE = 0.9999
NEAR = 1e-6
PAIRS = 400


class ParityReport(Frozen):
    """What the comparison found.

    ``n_near`` points lay within 1e-6 of a threshold. ``n_on_line`` decisions differ by float
    noise at the line where decisions change; ``n_flips`` are all others that differ.
    """

    n_points: int
    n_null: int
    n_near: int
    n_off: int
    n_flips: int
    n_on_line: int
    n_not_finite: int
    largest_difference: float

    @property
    def share_equal(self) -> float:
        """Share of points whose scores differ by at most the tolerance."""
        return 1.0 - self.n_off / self.n_points

    @property
    def is_passed(self) -> bool:
        """Whether the gate opens."""
        is_whole = self.n_points >= MIN_POINTS and self.n_not_finite == 0
        return is_whole and self.share_equal >= MIN_SHARE and self.n_flips == 0


def parity_points(
    source: Score,
    model: bytes,
    policy: DecisionPolicy,
    *,
    rows: Vectors,
    ranges: NDArray[np.float64],
    seed: int,
) -> Vectors:
    """Points of every kind for one comparison, at least 10,000.

    Parameters
    ----------
    source
        Scores by the model as training knows it.
    model
        Its ONNX form; only the thresholds of its trees are read.
    policy
        Whose thresholds points are sought at.
    rows
        Vectors of the training set, shape ``(n, d)``.
    ranges
        Declared range of each feature, shape ``(d, 2)``.
    seed
        Of every draw.
    """
    drawn = at.drawn_points(ranges, MIN_POINTS, seed)
    typical = np.nan_to_num(np.nanmedian(np.concatenate([rows, drawn]), axis=0))
    known = np.concatenate([rows, drawn, at.extreme_points(typical.astype(np.float32))])
    found = [known, at.split_points(model, known, seed)]
    for threshold in policy.thresholds:
        edges = at.points_at(source, known, threshold, PAIRS, seed)
        found += [edges, at.nearest_points(source, edges, known, threshold, seed)]
    return np.concatenate(found)


def compare(
    source: NDArray[np.floating],
    served: NDArray[np.floating],
    vectors: Vectors,
    policy: DecisionPolicy,
) -> ParityReport:
    """Report on ``source`` and ``served`` scores, shape ``(n,)``, of the same vectors."""
    expected = np.asarray(source, dtype=np.float64)
    answered = np.asarray(served, dtype=np.float64)
    difference = np.abs(expected - answered)
    is_off = ~(difference <= TOLERANCE)
    distance = [np.abs(expected - threshold) for threshold in policy.thresholds]
    is_near = np.min(distance, axis=0) <= NEAR if distance else np.zeros(len(expected), dtype=bool)
    is_other = (policy.sides(expected) != policy.sides(answered)).any(axis=1)
    is_on_line = is_other & (difference <= MARGIN) & ~is_near
    return ParityReport(
        n_points=len(expected),
        n_null=int(np.isnan(vectors).any(axis=1).sum()),
        n_near=int(is_near.sum()),
        n_off=int(is_off.sum()),
        n_flips=int(np.sum(is_other & ~is_on_line)),
        n_on_line=int(is_on_line.sum()),
        n_not_finite=int(np.sum(~np.isfinite(answered))),
        largest_difference=float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0)),
    )


def require_parity(report: ParityReport) -> ParityReport:
    """Return the report when the gate opens.

    Raises
    ------
    IntegrityError
        If it does not; the message carries the numbers and the limits.
    """
    if report.is_passed:
        return report
    raise IntegrityError(
        "the ONNX model does not answer as the model it was made from",
        found=(
            f"{report.n_off} of {report.n_points} scores off by more than {TOLERANCE:g} "
            f"(at most {1 - MIN_SHARE:.2%} allowed, {MIN_POINTS} points needed), the largest by "
            f"{report.largest_difference:.3g}; {report.n_flips} decisions turned and "
            f"{report.n_not_finite} scores not finite (none allowed)"
        ),
        remedy="do not release it; compare the conversion with the source node by node",
        code="parity",
    )
