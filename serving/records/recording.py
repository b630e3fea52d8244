"""Recording: what is kept of each prediction before its answer leaves.

A record is complete: whoever has it, the release and the tables can decide again. What is the
same for every record of a release is put into JSON once, when its first one is kept; numbers are
packed from the columns of a pass, for all its records together (`core.packed_records`).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from core.decisions import DecisionPolicy
from core.packed_records import PACKED, named_numbers
from core.rollout.assignment import assignment_point
from serving.engine.contract import Point
from serving.engine.outcomes import Outcomes
from serving.json_parts import json_part
from serving.models.releases import LoadedRelease
from serving.ports import Json, Records
from stores.masking import Mask, is_masked
from stores.merging import compiled_merge
from stores.records.frames import Columns, Framing
from stores.view_merging import SOURCE_AGES

KEPT_FORMS = 32
"""Releases whose fixed parts are held; a process serves a few, and swaps them now and then."""

_encoder = msgspec.json.Encoder()


class _Own(msgspec.Struct, gc=False, omit_defaults=True):
    """What a record says of its prediction in words, behind what all of its release say."""

    received_at_ms: int
    at_ms: int
    entities: Mapping[str, object]
    inputs: Mapping[str, object]
    decision: str
    reason: str
    timings_ms: msgspec.Raw
    event_id: str | None = None
    rollout: Json | None = None
    rule: int | None = None
    explanation: Json | None = None
    degraded: Json | None = None
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True)
class _Form:
    """What all records of one release in one channel have in common."""

    framing: Framing
    masked_keys: tuple[str, ...]
    masked_inputs: tuple[str, ...]
    subject: tuple[str, ...]
    sample: str
    share: float


class Recording:
    """Makes records of outcomes and keeps them; one in a process."""

    def __init__(self, records: Records, mask: Mask) -> None:
        self._records = records
        self._mask = mask
        self._forms: dict[tuple[str, str], _Form] = {}

    def keep(
        self,
        outcomes: Outcomes,
        release: LoadedRelease,
        model: Json,
        timings_ms: Sequence[Json],
    ) -> list[str | None]:
        """Keep outcomes with one write; their ids, None outside the sample.

        ``timings_ms`` has the stages of each outcome.

        Raises
        ------
        DependencyError
            If they cannot be kept; none is kept then.
        """
        form = self._form(release, model)
        kept: Sequence[int] = range(len(outcomes))
        if form.share < 1:
            kept = [place for place in kept if _is_in_sample(form, outcomes.points[place])]
        if not kept:
            return [None] * len(outcomes)
        lines = _encoder.encode_lines(self._owns(form, outcomes, timings_ms, kept))
        frames = form.framing.frames(lines, kept, _columns(outcomes))
        ids = self._records.append_frames(release.manifest.use_case, frames)
        if len(kept) == len(outcomes):
            return [*ids]
        found: list[str | None] = [None] * len(outcomes)
        for place, record_id in zip(kept, ids, strict=True):
            found[place] = record_id
        return found

    def _owns(
        self, form: _Form, outcomes: Outcomes, timings_ms: Sequence[Json], kept: Sequence[int]
    ) -> list[_Own]:
        """What records say in words. Candidates of one request share stages, and often a key."""
        points, explanations = outcomes.points, outcomes.explanations
        decided, degraded = outcomes.decided, outcomes.degraded
        # First of all numbers; not always those that were asked for.
        instants_ms = outcomes.readings.table.numbers
        nulls = dict.fromkeys(form.masked_inputs)
        known: dict[str | int, str] = {}
        spent_ms, spent = None, msgspec.Raw()
        owns = []
        for place in kept:
            keys, inputs, _, received_at_ms, _, trace, event_id, arm = points[place]
            rule, decision, reason = decided[place]
            explanation = explanations[place]
            if timings_ms[place] is not spent_ms:
                spent_ms = timings_ms[place]
                spent = json_part(spent_ms)
            own = _Own(
                received_at_ms,
                int(instants_ms[place]),
                self._masked(form, keys, known) if form.masked_keys else keys,
                {**inputs, **nulls} if nulls else inputs,
                decision,
                reason,
                spent,
                event_id,
                None if arm is None else arm._asdict(),
                rule,
                None if explanation is None else explanation.to_json(),
                degraded[place],
                None if trace is None else trace.request_id,
                None if trace is None else trace.traceparent,
            )
            owns.append(own)
        return owns

    def _masked(
        self, form: _Form, keys: Mapping[str, str | int], known: dict[str | int, str]
    ) -> Mapping[str, object]:
        """Join keys, masked where they must be."""
        masked: dict[str, object] = {**keys}
        for name in form.masked_keys:
            key = keys[name]
            mask = known.get(key)
            if mask is None:
                mask = known[key] = self._mask.of(key)
            masked[name] = mask
        return masked

    def _form(self, release: LoadedRelease, model: Json) -> _Form:
        key = release.manifest_digest, model["channel"]
        form = self._forms.get(key)
        if form is None:
            while len(self._forms) >= KEPT_FORMS:
                del self._forms[next(iter(self._forms))]
            form = self._forms[key] = _form_of(release, model)
        return form


def _is_in_sample(form: _Form, point: Point) -> bool:
    return assignment_point(form.sample, [point.keys[name] for name in form.subject]) < form.share


def _columns(outcomes: Outcomes) -> Columns:
    values, told = outcomes.readings.table, outcomes.readings.told
    return Columns(
        memoryview(values.numbers)[values.layout.first_read * values.n_points :],
        array("d", [math.nan if score is None else score for score in outcomes.scores]),
        told.numbers[: SOURCE_AGES * told.n_cells],  # ages, and positions that were seen
        told.statuses,
        outcomes.vectors,
    )


def _form_of(release: LoadedRelease, model: Json) -> _Form:
    manifest = release.manifest
    masked_keys = tuple(spec.name for spec in manifest.contract.keys if is_masked(spec))
    masked_inputs = tuple(spec.name for spec in manifest.contract.inputs if is_masked(spec))
    masked = [f"entities/{name}" for name in masked_keys]
    masked += [f"inputs/{name}" for name in masked_inputs]
    about = {
        **model,
        "kind": manifest.model_kind,
        "manifest_digest": release.manifest_digest,
        "plan_digest": release.plan_digest,
    }
    fixed = {
        "version": PACKED,
        "use_case": manifest.use_case,
        "masked": json_part(masked),
        "model": json_part(about),
    }
    ladder = manifest.degradation
    unscored = manifest.decisions if ladder is None else ladder.unscored
    views = {view.name: view.feature_names for view in manifest.plan.views}
    outputs = [f"{each.name}:{name}" for each in manifest.plan.transforms for name in each.outputs]
    named = named_numbers(views, outputs)
    return _Form(
        framing=Framing(
            _beginning(fixed | _policy(manifest.decisions) | named),
            _beginning(fixed | _policy(unscored) | named),
            compiled_merge(),
        ),
        masked_keys=masked_keys,
        masked_inputs=masked_inputs,
        subject=next(iter(manifest.plan.entities.values())),
        sample=f"records:{manifest.use_case}",
        share=1.0 if manifest.risk_tier == "high" else manifest.record_share,
    )


def _policy(policy: DecisionPolicy) -> dict[str, object]:
    """The policy that decided: another one where there was no score."""
    return {
        "policy_digest": policy.digest,
        "policy": json_part(policy.model_dump(mode="json")),
    }


def _beginning(members: Mapping[str, object]) -> bytes:
    """An object in JSON with more members to follow."""
    return _encoder.encode(members)[:-1] + b","
