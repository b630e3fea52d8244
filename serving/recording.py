"""Recording: what is kept of each prediction before its answer leaves.

A record is complete: whoever has it, the release and the tables can decide again. What is the
same for every record of a release is put into JSON once, when its first one is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from core.decisions import DecisionPolicy
from core.rollout.assignment import assignment_point
from serving.answers import Outcome
from serving.features import ViewValues
from serving.ports import Json, Records
from serving.releases import LoadedRelease
from stores.masking import Mask, is_masked

RECORD_VERSION = 3
KEPT_FORMS = 32
"""Releases whose fixed parts are held; a process serves a few, and swaps them now and then."""

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class _Form:
    """What all records of one release in one channel have in common."""

    fixed: Mapping[str, object]
    unscored: Mapping[str, object]
    features: Mapping[str, tuple[str, ...]]
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
        outcomes: Sequence[Outcome],
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
        kept = [form.share >= 1 or self._is_in_sample(form, outcome) for outcome in outcomes]
        features = _SharedFeatures(form) if _share_views(outcomes) else _Features(form)
        payloads = [
            self._payload(form, outcome, spent_ms, features.of(outcome))
            for outcome, is_kept, spent_ms in zip(outcomes, kept, timings_ms, strict=True)
            if is_kept
        ]
        if not payloads:
            return [None] * len(kept)
        ids = iter(self._records.append_many(release.manifest.use_case, payloads))
        return [next(ids) if is_kept else None for is_kept in kept]

    def _is_in_sample(self, form: _Form, outcome: Outcome) -> bool:
        subject = [outcome.point.keys[name] for name in form.subject]
        return assignment_point(form.sample, subject) < form.share

    def _payload(
        self, form: _Form, outcome: Outcome, timings_ms: Json, features: Mapping[str, object]
    ) -> bytes:
        point = outcome.point
        explanation = outcome.explanation
        return _encoder.encode(
            {
                **(form.fixed if outcome.score is not None else form.unscored),
                "received_at_ms": point.received_at_ms,
                "at_ms": point.at_ms,
                "event_id": point.event_id,
                "rollout": None if point.arm is None else point.arm._asdict(),
                "entities": self._masked(point.keys, form.masked_keys),
                "inputs": {**point.inputs, **dict.fromkeys(form.masked_inputs)},
                "features": features,
                "transforms": outcome.transforms,  # a NaN is encoded as null
                "vector": outcome.vector.tolist(),
                "score": outcome.score,
                "decision": outcome.decision,
                "reason": outcome.reason,
                "rule": outcome.rule,
                "explanation": None if explanation is None else explanation.to_json(),
                "degraded": outcome.degraded,
                "timings_ms": timings_ms,
                "request_id": None if point.trace is None else point.trace.request_id,
                "traceparent": None if point.trace is None else point.trace.traceparent,
            }
        )

    def _masked(self, keys: Mapping[str, str | int], names: Sequence[str]) -> Mapping[str, object]:
        if not names:
            return keys
        return {**keys, **{name: self._mask.of(keys[name]) for name in names}}

    def _form(self, release: LoadedRelease, model: Json) -> _Form:
        key = release.manifest_digest, model["channel"]
        form = self._forms.get(key)
        if form is None:
            while len(self._forms) >= KEPT_FORMS:
                del self._forms[next(iter(self._forms))]
            form = self._forms[key] = _form_of(release, model)
        return form


class _Features:
    """What was read for outcomes, as records have it."""

    def __init__(self, form: _Form) -> None:
        self._names = form.features

    def of(self, outcome: Outcome) -> dict[str, object]:
        """All views of one."""
        return {name: self._view(name, read) for name, read in outcome.reading.items()}

    def _view(self, name: str, read: ViewValues) -> object:
        return {
            "status": read.status,
            "age_ms": read.age_ms,
            "seen_position": read.seen,
            "values": dict(zip(self._names[name], read.values, strict=True)),
        }


class _SharedFeatures(_Features):
    """The same where outcomes share views: each is put into JSON once."""

    def __init__(self, form: _Form) -> None:
        super().__init__(form)
        self._encoded: dict[int, msgspec.Raw] = {}  # by what the outcomes hold on to

    def _view(self, name: str, read: ViewValues) -> object:
        found = self._encoded.get(id(read))
        if found is None:
            found = self._encoded[id(read)] = _raw(super()._view(name, read))
        return found


def _share_views(outcomes: Sequence[Outcome]) -> bool:
    """Whether points read the same entity: the candidates of one request do."""
    first, *others = outcomes
    return any(read is others[0].reading[name] for name, read in first.reading.items() if others)


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
        "version": RECORD_VERSION,
        "use_case": manifest.use_case,
        "masked": _raw(masked),
        "model": _raw(about),
    }
    ladder = manifest.degradation
    return _Form(
        fixed=fixed | _policy(manifest.decisions),
        unscored=fixed | _policy(manifest.decisions if ladder is None else ladder.unscored),
        features={view.name: view.feature_names for view in manifest.plan.views},
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
        "policy": _raw(policy.model_dump(mode="json")),
    }


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(value))
