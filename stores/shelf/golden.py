"""Golden points: vectors with the scores that a release must answer before it is swapped in.

Beside them stand values with the rules that must fire. All are drawn from declared ranges and
rules, never a subject's row, so they may lie open on the shelf. JSON has no NaN: null stands
for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.decisions import Decider
from core.errors import IntegrityError
from core.features.plan import Frozen

# Other processors and other builds of the runtime add in another order: about 1e-6.
TOLERANCE = 1e-5


def _is_absent(value: object) -> bool:
    return value is None


class RuleCases(Frozen):
    """Scores and values by qualified name, with the place of the rule that fires on each.

    None is the default. They hold a release to what its rules meant when it was built.
    """

    scores: tuple[float, ...]
    values: dict[str, tuple[float | None, ...]]
    rules: tuple[int | None, ...]

    def check(self, decider: Decider) -> None:
        """Decide every case, together and one by one.

        Raises
        ------
        IntegrityError
            If another rule fires than is written here, or a value is not.
        """
        values = {name: np.array(column, dtype=np.float64) for name, column in self.values.items()}
        missing = [name for name in decider.reads if name not in values]
        if missing:
            raise _other_rules(f"no value of {', '.join(missing)}")
        scores = np.array(self.scores)
        together = decider.decide(scores, values)
        for n, rule in enumerate(self.rules):
            row = {name: column[n : n + 1] for name, column in values.items()}
            (alone,) = decider.decide(scores[n : n + 1], row)
            if not rule == alone.rule == together[n].rule:
                found = f"rules {alone.rule} and {together[n].rule}, not {rule}, in case {n}"
                raise _other_rules(found)


def _other_rules(found: str) -> IntegrityError:
    return IntegrityError(
        "the rules do not decide their golden cases",
        found=found,
        remedy="keep the release that is served; build this one again with the present code",
        code="golden_rules",
    )


class Golden(Frozen):
    """Vectors (null is NaN), the score of each, and the largest difference allowed.

    ``rule_cases`` are absent in bundles from before there were any.
    """

    vectors: tuple[tuple[float | None, ...], ...]
    scores: tuple[float, ...]
    tolerance: float = TOLERANCE
    rule_cases: RuleCases | None = Field(default=None, exclude_if=_is_absent)

    def inputs(self) -> NDArray[np.float32]:
        """Vectors as the model takes them, shape ``(n, d)``."""
        rows = [[np.nan if v is None else v for v in vector] for vector in self.vectors]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), -1)

    def check(self, scores: NDArray[np.floating]) -> float:
        """Largest difference between ``scores`` and what is written here.

        Raises
        ------
        IntegrityError
            If it exceeds the tolerance, is not a number, or the count is another.
        """
        expected = np.asarray(self.scores, dtype=np.float64)
        answered = np.asarray(scores, dtype=np.float64).reshape(-1)
        if answered.shape != expected.shape:
            raise IntegrityError(
                "the model answers another number of golden points",
                found=f"{answered.size} scores for {expected.size} points",
                remedy="keep the release that is served and build this one again",
                code="golden_points",
            )
        difference = float(np.max(np.abs(answered - expected), initial=0.0))
        if not difference <= self.tolerance:
            raise IntegrityError(
                "the model does not answer its golden points",
                found=f"a score off by {difference:.3g}, allowed {self.tolerance:.3g}",
                remedy="keep the release that is served; compare versions of the runtime",
                code="golden_points",
            )
        return difference


def golden_of(
    vectors: NDArray[np.float32],
    scores: NDArray[np.floating],
    rule_cases: RuleCases | None = None,
) -> Golden:
    """Golden points of ``vectors`` (shape ``(n, d)``) and the ``scores`` they were given.

    Examples
    --------
    >>> golden_of(np.array([[1.5, np.nan]], dtype=np.float32), np.array([0.25])).vectors
    ((1.5, None),)
    """
    rows = tuple(
        tuple(None if np.isnan(value) else float(value) for value in vector) for vector in vectors
    )
    given = tuple(float(score) for score in scores)
    return Golden(vectors=rows, scores=given, rule_cases=rule_cases)
