"""Counters as arrays, so that a gate's arithmetic serves one pair of arms or thousands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.rollout.counters import Counters, Period
from core.rollout.evidence import Array


@dataclass(frozen=True)
class Tally:
    """Counts of one arm as float64 arrays; leading axes, if any, are parallel worlds.

    ``latencies``, ``scores``, ``decisions``, ``labelled`` and ``positives`` have their bins on
    the last axis. ``is_constant`` says that two or more scores have come, all equal.
    """

    requests: Array
    errors: Array
    entities: Array
    latencies: Array
    nonfinite: Array
    scores: Array
    is_constant: NDArray[np.bool_]
    decisions: Array
    labelled: Array
    positives: Array

    @classmethod
    def of(cls, counters: Counters, decisions: Sequence[str]) -> Tally:
        """Arrays of ``counters``; ``decisions`` fixes the order of theirs."""
        is_constant = counters.n_scores > 1 and counters.lowest_score == counters.highest_score
        return cls(
            requests=_array(counters.n_requests),
            errors=_array(counters.n_errors),
            entities=_array(counters.n_entities),
            latencies=_array(counters.latencies),
            nonfinite=_array(counters.n_nonfinite),
            scores=_array(counters.scores),
            is_constant=np.asarray(is_constant),
            decisions=_array([counters.decisions.get(name, 0) for name in decisions]),
            labelled=_array(counters.labelled),
            positives=_array(counters.positives),
        )

    def shared_out(self, requests_per_entity: float) -> Tally:
        """Counts divided by how many requests an entity sends; entities count as they are."""
        if requests_per_entity == 1:
            return self
        counts = {name: getattr(self, name) / requests_per_entity for name in _COUNTED_BY_REQUEST}
        return replace(self, **counts)

    @property
    def n_scores(self) -> Array:
        """Finite scores."""
        return np.asarray(self.scores.sum(axis=-1), dtype=np.float64)


_COUNTED_BY_REQUEST = tuple(
    name for name in Tally.__dataclass_fields__ if name not in {"entities", "is_constant"}
)


def _array(values: int | Sequence[int]) -> Array:
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True)
class Arms:
    """Both arms over one period. ``weight`` is the challenger's share of entities."""

    champion: Tally
    challenger: Tally
    weight: float

    @classmethod
    def of(cls, period: Period) -> Arms:
        """Arrays of a period; decisions in the order of their names."""
        names = sorted({*period.champion.decisions, *period.challenger.decisions})
        return cls(
            champion=Tally.of(period.champion, names),
            challenger=Tally.of(period.challenger, names),
            weight=period.weight,
        )

    def shared_out(self, requests_per_entity: float) -> Arms:
        """Both arms with their counts divided by how many requests an entity sends."""
        return Arms(
            champion=self.champion.shared_out(requests_per_entity),
            challenger=self.challenger.shared_out(requests_per_entity),
            weight=self.weight,
        )
