"""Judging points: scores and decisions, each from the highest rung of the ladder within reach.

Which rung was taken, and because of what, is in answer and record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.decisions import Decided
from core.degradation import DEFAULT, FALLBACK, RULES, STALE, Lapse
from serving.engine.ladder import Ladder
from serving.errors import SlowModelError
from serving.models.releases import LoadedRelease
from serving.ports import Json

Values = Mapping[str, NDArray[np.float64]]
_FINE = Lapse(frozenset(), "")


@dataclass(frozen=True)
class Judged:
    """What was made of points, in order. ``scores`` has None where nothing could score.

    ``degraded`` is None for a whole answer. ``is_of_model`` says of each whether the release's
    own model scored it.
    """

    scores: Sequence[float | None]
    decided: Sequence[Decided]
    degraded: Sequence[Json | None]
    is_of_model: Sequence[bool]


async def judged(
    release: LoadedRelease,
    vectors: NDArray[np.float32],
    values: Values,
    lapses: Sequence[Lapse | None] | None,
    *,
    may_descend: bool,
) -> Judged:
    """Scores and decisions of points, each from the highest rung within reach.

    Parameters
    ----------
    lapses
        How each point falls short; None when none does.
    may_descend
        Whether a model that fails is answered for by a lower rung; else the failure is raised.

    Raises
    ------
    IntegrityError
        If a score is not a number, and there is no lower rung.
    """
    ladder, because = release.ladder, ""
    if lapses is None or ladder is None:
        try:
            scores = await release.scorer.score(vectors)
            decided = release.decider.decide(scores, values)
        except Exception as error:
            if ladder is None or not may_descend:
                raise
            because = _model_failed(error)
            lapses = [Lapse(frozenset(), because)] * len(vectors)
        else:
            n = len(vectors)
            return Judged(scores.tolist(), decided, [None] * n, [True] * n)
    descent = _Descent(release, ladder, vectors, values)
    return await descent.judged(lapses, has_model=not because, may_descend=may_descend)


class _Descent:
    """One pass on the ladder: points that stand on one rung for one reason go together."""

    def __init__(
        self,
        release: LoadedRelease,
        ladder: Ladder,
        vectors: NDArray[np.float32],
        values: Values,
    ) -> None:
        self._release = release
        self._ladder = ladder
        self._vectors = vectors
        self._values = values
        n_points = len(vectors)
        self._scores: list[float | None] = [None] * n_points
        self._decided: list[Decided | None] = [None] * n_points
        self._degraded: list[Json | None] = [None] * n_points
        self._is_of_model = [False] * n_points

    async def judged(
        self, lapses: Sequence[Lapse | None], *, has_model: bool, may_descend: bool
    ) -> Judged:
        groups: dict[Lapse, list[int]] = {}
        for place, lapse in enumerate(lapses):
            groups.setdefault(lapse or _FINE, []).append(place)
        for lapse, places in groups.items():
            rows = np.array(places)
            because = lapse.because
            if lapse.is_unscored:
                self._by_rules(rows, because)
                continue
            if has_model and not lapse.missing:
                try:
                    await self._by_model(rows, because)
                    continue
                except Exception as error:
                    if not may_descend:
                        raise
                    because = _joined(because, _model_failed(error))
            await self._by_fallback(rows, lapse, because)
        decided = [each for each in self._decided if each is not None]
        return Judged(self._scores, decided, self._degraded, self._is_of_model)

    async def _by_model(self, places: NDArray[np.intp], because: str) -> None:
        scores = await self._release.scorer.score(self._vectors[places])
        self._take(places, scores, STALE if because else "", because)
        for place in places.tolist():
            self._is_of_model[place] = True

    async def _by_fallback(self, places: NDArray[np.intp], lapse: Lapse, because: str) -> None:
        fallback = self._ladder.fallback(lapse.missing)
        if fallback is not None:
            try:
                scores = await fallback.scorer.score(fallback.vectors(self._vectors[places]))
                self._take(places, scores, FALLBACK, because)
            except Exception as error:  # whatever it is, the rules answer
                because = _joined(because, f"the fallback failed ({type(error).__name__})")
            else:
                return
        self._by_rules(places, because)

    def _take(
        self, places: NDArray[np.intp], scores: NDArray[np.float32], level: str, because: str
    ) -> None:
        """Decide by scores; raises what `Decider.decide` raises."""
        decided = self._release.decider.decide(scores, self._rows(places))
        for place, score, each in zip(places.tolist(), scores.tolist(), decided, strict=True):
            self._scores[place], self._decided[place] = score, each
            self._degraded[place] = {"level": level, "because": because} if level else None

    def _by_rules(self, places: NDArray[np.intp], because: str) -> None:
        decided = self._ladder.unscored.decide_unscored(self._rows(places), len(places))
        for place, each in zip(places.tolist(), decided, strict=True):
            level = DEFAULT if each.rule is None else RULES
            self._decided[place] = each
            self._degraded[place] = {"level": level, "because": because}

    def _rows(self, places: NDArray[np.intp]) -> Values:
        return {name: array[places] for name, array in self._values.items()}


def _model_failed(error: Exception) -> str:
    if isinstance(error, SlowModelError):
        return error.wrong
    return f"the model failed ({type(error).__name__})"


def _joined(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second
