"""Predictions as they were served, computed again from the tables: the proof of one promise.

Four steps, each from what was recorded before it, so that a fault is found where it arose: the
values of every view as the read had seen them, request-time functions, the vector, score and
decision. One float32 ulp between batch and online is counted and shown; more is unequal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.consent import OPTED_OUT, asked, asked_online, is_ignored
from core.decisions import Decided
from core.degradation import Rung, rung_taken
from core.errors import NotReadyError
from core.features.plan import Frozen
from core.features.transforms import apply_transforms
from core.features.vector import vector_of
from core.recorded import (
    Record,
    array_of,
    differing_decision,
    masked_inputs,
    recorded_inputs,
    recorded_transforms,
    ulp_distances,
    without_masked,
)
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.masking import Mask
from stores.shelf.bundle import Bundle
from stores.shelf.shelf import Shelf
from training.as_seen import values_as_seen
from training.rungs import answered_from

SCORE_TOLERANCE = 1e-6
"""A row scored in a batch of another size adds in another order."""

MAX_EXAMPLES = 20
MASKED = "an input is masked"
NO_RELEASE = "the release is no longer on the shelf"
REMOVED = "rows were removed from the table since"
NO_RUNG = "the release has no fallback and no rules for what was missing"

Bundles = Callable[[str, str, int], Bundle | None]


class Difference(Frozen):
    """A value that came out otherwise. ``where`` is one of the four steps; null is None."""

    prediction_id: str
    where: str
    name: str
    recorded: float | str | None
    recomputed: float | str | None


class Parity(Frozen):
    """What comparing gave.

    ``unequal`` counts by step and name, ``unreplayable`` by reason (a record counts once for
    each view, function or decision); ``examples`` are the first differences. ``values`` is how
    many were compared, ``one_ulp`` how many of them were one float32 ulp apart.
    """

    records: int = 0
    values: int = 0
    one_ulp: int = 0
    unequal: dict[str, int] = Field(default_factory=dict)
    unreplayable: dict[str, int] = Field(default_factory=dict)
    examples: tuple[Difference, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether nothing that was compared came out otherwise."""
        return not self.unequal


class _Tally:
    """Counts of a comparison under way."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids
        self.values = self.one_ulp = 0
        self.unequal: Counter[str] = Counter()
        self.unreplayable: Counter[str] = Counter()
        self.examples: list[Difference] = []

    def leave_out(self, why: str, count: int = 1) -> None:
        self.unreplayable[why] += count

    def numbers(
        self,
        where: str,
        name: str,
        recorded: NDArray[np.floating],
        computed: NDArray[np.floating],
        chosen: NDArray[np.bool_],
    ) -> None:
        """Compare a column of numbers in the chosen rows, by float32 ulps."""
        apart = ulp_distances(recorded, computed)
        self.values += int(chosen.sum())
        self.one_ulp += int((chosen & (apart == 1)).sum())
        for row in np.flatnonzero(chosen & (apart > 1)):
            self.add(where, name, int(row), _plain(recorded[row]), _plain(computed[row]))

    def add(
        self, where: str, name: str, row: int, recorded: float | str | None, computed: Any
    ) -> None:
        """One difference."""
        self.unequal[f"{where} {name}".rstrip()] += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(
                Difference(
                    prediction_id=self.ids[row],
                    where=where,
                    name=name,
                    recorded=recorded,
                    recomputed=computed,
                )
            )

    def parity(self, records: int) -> Parity:
        """What was counted of so many records."""
        return Parity(
            records=records,
            values=self.values,
            one_ulp=self.one_ulp,
            unequal=dict(self.unequal.most_common()),
            unreplayable=dict(self.unreplayable.most_common()),
            examples=tuple(self.examples),
        )


def bundles_on(layout: Layout) -> Bundles:
    """Finds bundles on the shelf of a home, each read and verified once."""
    shelf, keys = Shelf(layout.shelf), KeyRing.from_directory(layout.keys)
    found: dict[tuple[str, int], Bundle | None] = {}

    def find(use_case: str, digest: str, release: int) -> Bundle | None:
        key = use_case, release
        if key not in found:
            try:
                found[key] = shelf.verified(use_case, release, keys)
            except NotReadyError:
                found[key] = None
        bundle = found[key]
        return bundle if bundle is not None and bundle.manifest.digest == digest else None

    return find


def served_parity(
    records: Mapping[str, Record], bundles: Bundles, layout: Layout, mask: Mask
) -> Parity:
    """Compare records, each with the release that made it.

    Parameters
    ----------
    records
        By prediction id.
    bundles
        Gives the bundle of a use case, manifest digest and release, or None where the shelf has
        none such.
    layout, mask
        Where the tables are; with which key entities were masked.
    """
    groups: dict[tuple[str, str, int], list[str]] = {}
    for record_id, record in records.items():
        model = record["model"]
        key = record["use_case"], model["manifest_digest"], model["release"]
        groups.setdefault(key, []).append(record_id)
    parts = []
    for key, ids in groups.items():
        bundle = bundles(*key)
        if bundle is None:
            parts.append(Parity(records=len(ids), unreplayable={NO_RELEASE: len(ids)}))
        else:
            parts.append(_of_release([(i, records[i]) for i in ids], bundle, layout, mask))
    return _together(parts)


def _of_release(
    rows: Sequence[tuple[str, Record]], bundle: Bundle, layout: Layout, mask: Mask
) -> Parity:
    tally = _Tally([record_id for record_id, _ in rows])
    records = [record for _, record in rows]
    _compare_views(tally, records, bundle, layout, mask)
    _compare_model(tally, records, bundle)
    _compare_consent(tally, records, bundle)
    return tally.parity(len(records))


def _compare_views(
    tally: _Tally, records: Sequence[Record], bundle: Bundle, layout: Layout, mask: Mask
) -> None:
    """Every value of every view against the tables."""
    for view in bundle.manifest.plan.views:
        found = values_as_seen(view, records, layout, mask)
        for why, count in Counter(filter(None, found.why_not)).items():
            tally.leave_out(why, count)
        chosen = np.array([not why for why in found.why_not])
        held = [record["features"][view.name]["values"] for record in records]
        recorded = {name: array_of([v[name] for v in held]) for name in view.feature_names}
        if found.may_be_removed.any():
            apart = [ulp_distances(recorded[n], found.values[n]) > 1 for n in view.feature_names]
            gone = chosen & np.any(apart, axis=0) & found.may_be_removed
            if gone.any():
                tally.leave_out(REMOVED, int(gone.sum()))
            chosen &= ~gone
        for name in view.feature_names:
            where = f"{view.name}:{name}"
            tally.numbers("features", where, recorded[name], found.values[name], chosen)


def _compare_model(tally: _Tally, records: Sequence[Record], bundle: Bundle) -> None:
    """Request-time functions, the vector, score and decision, from what was recorded."""
    manifest = bundle.manifest
    every = np.ones(len(records), dtype=np.bool_)
    masked = masked_inputs(records[0])
    plan, hidden = without_masked(manifest.plan, masked)
    arrays = recorded_inputs(records, manifest.plan)
    transforms = apply_transforms(plan, arrays)
    recorded = recorded_transforms(records, [*transforms, *hidden])
    for name, computed in transforms.items():
        tally.numbers("transforms", name, recorded[name], computed, every)
    if hidden:
        tally.leave_out(MASKED, len(records))
    vectors = np.array([record["vector"] for record in records], dtype=np.float32)
    expected = vector_of(manifest.plan, {**arrays, **recorded})
    for place, name in enumerate(manifest.plan.vector):
        tally.numbers("vector", name, vectors[:, place], expected[:, place], every)
    values = {**arrays, **recorded}
    for rung, rows in _by_rung(records, bundle).items():
        answered = answered_from(rung, bundle, vectors[rows])
        if answered is None:
            tally.leave_out(NO_RUNG, len(rows))
            continue
        _compare_scores(tally, records, rows, answered.scores)
        if masked & set(answered.decider.reads):
            tally.leave_out(MASKED, len(rows))
        else:
            decided = answered.decided({n: array[rows] for n, array in values.items()}, len(rows))
            _compare_decisions(tally, records, rows, decided)


def _compare_consent(tally: _Tally, records: Sequence[Record], bundle: Bundle) -> None:
    """Whether who had opted out was answered as declared; that they had is a value of a view."""
    consent = asked_online(bundle.manifest.consent)
    if consent is None:
        return
    rule = asked(consent, bundle.manifest.plan)
    tally.values += len(records)
    for row, record in enumerate(records):
        if is_ignored(record, rule):
            tally.add("consent", "", row, "answered as anybody", OPTED_OUT)


def _by_rung(records: Sequence[Record], bundle: Bundle) -> dict[Rung | None, list[int]]:
    """Places of records that were answered from the same rung of the ladder."""
    fallbacks = [each.without for each in bundle.manifest.fallbacks]
    found: dict[Rung | None, list[int]] = {}
    for row, record in enumerate(records):
        found.setdefault(rung_taken(record, fallbacks), []).append(row)
    return found


def _compare_scores(
    tally: _Tally,
    records: Sequence[Record],
    rows: Sequence[int],
    scores: NDArray[np.float64] | None,
) -> None:
    """Compare scores of the records in ``rows``; None where there must be none."""
    given = array_of([records[row]["score"] for row in rows])
    computed = np.full(len(rows), np.nan) if scores is None else scores
    is_equal = np.abs(computed - given) <= SCORE_TOLERANCE
    if scores is None:
        is_equal = np.isnan(given)
    tally.values += len(rows)
    for place in np.flatnonzero(~is_equal):
        tally.add("score", "", rows[int(place)], _plain(given[place]), _plain(computed[place]))


def _compare_decisions(
    tally: _Tally, records: Sequence[Record], rows: Sequence[int], decided: Sequence[Decided]
) -> None:
    for row, each in zip(rows, decided, strict=True):
        for what, given, computed in differing_decision(records[row], each):
            tally.add(what, "", row, given, computed)


def _together(parts: Iterable[Parity]) -> Parity:
    found = list(parts)
    return Parity(
        records=sum(part.records for part in found),
        values=sum(part.values for part in found),
        one_ulp=sum(part.one_ulp for part in found),
        unequal=_added(part.unequal for part in found),
        unreplayable=_added(part.unreplayable for part in found),
        examples=tuple(each for part in found for each in part.examples)[:MAX_EXAMPLES],
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())


def _plain(value: np.floating[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None
