"""What is asked of batch scores before anybody sees them: pure arithmetic on what was staged."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.features.plan import Frozen
from core.stats.distances import population_stability_index
from core.stats.histogram import Histogram, histogram_of
from stores.shelf.profile import Profile


class AuditLimits(Frozen):
    """Limits of the audit.

    ``max_score_shift`` is the population stability index of the scores against training, in
    nats; ``max_null_shift`` the absolute change of a feature's share of nulls. Both are
    judged from ``min_rows`` rows on: fewer say nothing about a distribution.
    """

    max_score_shift: float = 0.5
    max_null_shift: float = 0.25
    min_rows: int = 1_000
    is_empty_allowed: bool = False


class Audit(Frozen):
    """Outcome, with its numbers; ``faults`` says in words what was found, empty when nothing."""

    rows: int
    expected_rows: int
    score_nulls: int
    score_shift: float
    null_shift: float
    null_shift_feature: str
    decisions: dict[str, int]
    faults: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Whether the scores may be published."""
        return not self.faults


def audit(
    scored: pa.Table,
    vector: tuple[str, ...],
    profile: Profile,
    limits: AuditLimits,
    *,
    expected_rows: int,
) -> Audit:
    """Judge staged scores.

    Parameters
    ----------
    scored
        Columns ``score``, ``decision`` and ``nulls``.
    vector
        Entries of the vector, in the order of the bits of ``nulls``.
    profile
        What training looked like.
    expected_rows
        How many subjects were to be scored.
    """
    scores = np.asarray(scored["score"].to_numpy(), dtype=np.float64)
    n = len(scores)
    score_nulls = int((~np.isfinite(scores)).sum())
    shift = _score_shift(profile.score, scores)
    nulls = null_shares(scored["nulls"], len(vector))
    trained = np.array(
        [h.n_null / h.n if h.n else 0.0 for h in (profile.features[name] for name in vector)]
    )
    moved = np.abs(nulls - trained)
    worst = int(np.argmax(moved))
    counted = pc.value_counts(scored["decision"]).to_pylist()
    outcome = Audit(
        rows=n,
        expected_rows=expected_rows,
        score_nulls=score_nulls,
        score_shift=shift,
        null_shift=float(moved[worst]),
        null_shift_feature=vector[worst],
        decisions={entry["values"]: entry["counts"] for entry in counted},
        faults=(),
    )
    return outcome.model_copy(update={"faults": faults_of(outcome, limits)})


def faults_of(outcome: Audit, limits: AuditLimits) -> tuple[str, ...]:
    """What is wrong with the numbers of an audit, each with its limit."""
    faults = []
    if outcome.rows != outcome.expected_rows:
        faults.append(f"{outcome.rows} rows scored, {outcome.expected_rows} expected")
    if not outcome.rows and not limits.is_empty_allowed:
        faults.append("nothing was scored, and an empty date is not declared as allowed")
    if outcome.score_nulls:
        faults.append(f"{outcome.score_nulls} scores are not numbers")
    if outcome.rows >= limits.min_rows:
        if outcome.score_shift > limits.max_score_shift:
            faults.append(
                f"scores moved by {outcome.score_shift:.3f} nats against training, "
                f"limit {limits.max_score_shift}"
            )
        if outcome.null_shift > limits.max_null_shift:
            faults.append(
                f"the share of nulls of {outcome.null_shift_feature} moved by "
                f"{outcome.null_shift:.3f}, limit {limits.max_null_shift}"
            )
    return tuple(faults)


def _score_shift(trained: Histogram, scores: NDArray[np.float64]) -> float:
    """Stability index of the scores that are numbers; 0 where there is none."""
    counts = histogram_of(scores, trained.edges).counts
    if not (sum(counts) and sum(trained.counts)):
        return 0.0
    return float(population_stability_index(trained.counts, counts))


def null_shares(nulls: pa.ChunkedArray, width: int) -> NDArray[np.float64]:
    """Share of nulls of each entry, from packed bits; zeros for no rows."""
    packed = np.frombuffer(b"".join(nulls.to_pylist()), dtype=np.uint8)
    if not packed.size:
        return np.zeros(width)
    bits = np.unpackbits(packed.reshape(len(nulls), -1), axis=1)[:, :width]
    return np.asarray(bits.mean(axis=0), dtype=np.float64)
