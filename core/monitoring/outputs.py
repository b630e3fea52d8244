"""Whether a batch that reported success wrote what it should have: silent failures, by arithmetic.

What wrote the rows is not asked. They are held to what is known without it: how many there should
be, that each is about another example, that scores are chances and differ, that decisions follow
from scores by the policy, and that one release made them all. A batch of the right size, shape and
spread that scored the wrong rows is found by drift at best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.decisions import DecisionPolicy

FEWEST = 50
"""Rows from which the spread of scores says something."""


def output_faults(
    *,
    subjects: Sequence[str],
    scores: NDArray[np.float64],
    decisions: Sequence[str],
    releases: Sequence[int],
    expected: Sequence[str] | None,
    policy: DecisionPolicy,
    release: int,
) -> list[str]:
    """What is wrong with a batch, in words; empty when nothing is.

    Parameters
    ----------
    subjects
        What each row is about: example or entity.
    scores
        Shape ``(n,)``, of the same rows, as are ``decisions`` and ``releases``.
    expected
        Subjects that there should be one row of each of; None where nobody knows.
    policy, release
        Those of the release that was to score.

    Examples
    --------
    >>> policy = DecisionPolicy(rules=(), default="APPROVE", default_reason="r")
    >>> output_faults(subjects=["a", "a"], scores=np.array([0.1, 1.5]), decisions=["APPROVE"] * 2,
    ...     releases=[1, 1], expected=["a", "b"], policy=policy, release=1)
    ['1 row is about what another is about', '1 of 2 expected has no row, and 0 rows are about \
nothing that was asked', '1 score is no chance (it is missing, below 0 or above 1)']
    """
    return [
        *_about(subjects, expected),
        *_chances(scores),
        *_decided(scores, decisions, policy),
        *_released(releases, release),
    ]


def _about(subjects: Sequence[str], expected: Sequence[str] | None) -> list[str]:
    found, distinct = [], set(subjects)
    n_twice = len(subjects) - len(distinct)
    if n_twice:
        found.append(f"{_rows(n_twice)} about what another is about")
    if expected is not None:
        wanted = set(expected)
        n_missing, n_strange = len(wanted - distinct), len(distinct - wanted)
        if n_missing or n_strange:
            found.append(
                f"{n_missing:,} of {len(wanted):,} expected {_has(n_missing)} no row, and "
                f"{n_strange:,} rows are about nothing that was asked"
            )
    return found


def _chances(scores: NDArray[np.float64]) -> list[str]:
    is_chance = (scores >= 0) & (scores <= 1)
    n_wrong = int((~is_chance).sum())
    found = []
    if n_wrong:
        what = "score is no chance (it is" if n_wrong == 1 else "scores are no chances (they are"
        found.append(f"{n_wrong:,} {what} missing, below 0 or above 1)")
    if len(scores) >= FEWEST and len(np.unique(scores[is_chance])) == 1:
        found.append(f"all {len(scores):,} scores are {scores[is_chance][0]:g}")
    return found


def _decided(
    scores: NDArray[np.float64], decisions: Sequence[str], policy: DecisionPolicy
) -> list[str]:
    """Rows above a leading threshold that were not decided by it.

    Only rules that stand before any condition on other values can be known from the score alone.
    """
    made = np.array(decisions, dtype=np.str_)
    is_open, n_wrong = np.ones(len(scores), dtype=np.bool_), 0
    for rule in policy.rules:
        if rule.above is None:
            break
        fires = is_open & (scores > rule.above)
        n_wrong += int((fires & (made != rule.decision)).sum())
        is_open &= ~fires
    n_unknown = int((~np.isin(made, policy.decisions)).sum())
    found = []
    if n_wrong:
        found.append(f"{_rows(n_wrong)} decided otherwise than the policy says of the score")
    if n_unknown:
        found.append(f"{_rows(n_unknown)} decided as the policy never does")
    return found


def _released(releases: Sequence[int], release: int) -> list[str]:
    others = sorted(set(releases) - {release})
    if not others:
        return []
    return [f"rows of release {', '.join(map(str, others))} among those of release {release}"]


def _rows(n: int) -> str:
    return "1 row is" if n == 1 else f"{n:,} rows are"


def _has(n: int) -> str:
    return "has" if n == 1 else "have"
