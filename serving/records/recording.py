"""Recording: what is kept of each prediction before its answer leaves.

A record is complete: whoever has it, the release and the tables can decide again. What is the
same for every record of a release is put into JSON once, when its first one is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from core.decisions import DecisionPolicy
from core.rollout.assignment import assignment_point
from serving.engine.outcomes import Outcome
from serving.engine.readings import Reading, ViewValues
from serving.models.releases import LoadedRelease
from serving.ports import Json, Records
from stores.masking import Mask, is_masked

RECORD_VERSION = 3
KEPT_FORMS = 32
"""Releases whose fixed parts are held; a process serves a few, and swaps them now and then."""

_encoder = msgspec.json.Encoder()

Named = Callable[..., object]
"""Makes what is put into JSON as numbers by their names, of the numbers alone."""


class _Own(msgspec.Struct, gc=False):
    """What a record says of its prediction, behind what all of its release say."""

    received_at_ms: int
    at_ms: int
    event_id: str | None
    rollout: Json | None
    entities: Mapping[str, object]
    inputs: Mapping[str, object]
    features: Mapping[str, object]
    transforms: object
    vector: list[float]
    score: float | None
    decision: str
    reason: str
    rule: int | None
    explanation: Json | None
    degraded: Json | None
    timings_ms: object
    request_id: str | None
    traceparent: str | None


class _View(msgspec.Struct, gc=False):
    """What was read of one view, as records have it."""

    status: str
    age_ms: int | None
    seen_position: int | None
    values: object


@dataclass(frozen=True)
class _Form:
    """What all records of one release in one channel have in common.

    ``fixed`` and ``unscored`` are how a record begins, in JSON.
    """

    fixed: bytes
    unscored: bytes
    values: Mapping[str, Named]
    transforms: Named
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
        outcomes = [*outcomes]  # made as they are looked at
        kept = [form.share >= 1 or self._is_in_sample(form, outcome) for outcome in outcomes]
        shared = _shared_views(outcomes)
        parts = _SharedParts(form, self._mask, shared) if shared else _Parts(form, self._mask)
        payloads = [
            _payload(form, outcome, spent_ms, parts)
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

    def _form(self, release: LoadedRelease, model: Json) -> _Form:
        key = release.manifest_digest, model["channel"]
        form = self._forms.get(key)
        if form is None:
            while len(self._forms) >= KEPT_FORMS:
                del self._forms[next(iter(self._forms))]
            form = self._forms[key] = _form_of(release, model)
        return form


class _Parts:
    """Keys and features of outcomes, as records have them."""

    def __init__(self, form: _Form, mask: Mask) -> None:
        self._form = form
        self._mask = mask

    def entities(self, keys: Mapping[str, str | int]) -> Mapping[str, object]:
        """Join keys, masked where they must be."""
        names = self._form.masked_keys
        return {**keys, **{name: self._masked(keys[name]) for name in names}} if names else keys

    def inputs(self, given: Mapping[str, object]) -> Mapping[str, object]:
        """Request fields, null where they must not be kept."""
        names = self._form.masked_inputs
        return {**given, **dict.fromkeys(names)} if names else given

    def features(self, reading: Reading) -> Mapping[str, object]:
        """All views of one point."""
        return {name: self._view(name, read) for name, read in reading.items()}

    def timings_ms(self, spent_ms: Json) -> object:
        """Stages of one point."""
        return spent_ms

    def _masked(self, key: str | int) -> str:
        return self._mask.of(key)

    def _view(self, name: str, read: ViewValues) -> object:
        values = self._form.values[name](*read.values)
        return _View(read.status, read.age_ms, read.seen, values)


class _SharedParts(_Parts):
    """The same where outcomes share entities: what they share is masked and put into JSON once.

    Parameters
    ----------
    shared
        Views that are looked for among those in JSON; of others nearly each is another.
    """

    def __init__(self, form: _Form, mask: Mask, shared: frozenset[str]) -> None:
        super().__init__(form, mask)
        self._shared = shared
        self._encoded: dict[int, msgspec.Raw] = {}  # by what the caller holds on to
        self._known: dict[str | int, str] = {}

    def timings_ms(self, spent_ms: Json) -> object:
        """Stages of one point: those of its request."""
        found = self._encoded.get(id(spent_ms))
        if found is None:
            found = self._encoded[id(spent_ms)] = _raw(spent_ms)
        return found

    def _masked(self, key: str | int) -> str:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = super()._masked(key)
        return found

    def _view(self, name: str, read: ViewValues) -> object:
        if name not in self._shared:
            return super()._view(name, read)
        found = self._encoded.get(id(read))
        if found is None:
            found = self._encoded[id(read)] = _raw(super()._view(name, read))
        return found


def _shared_views(outcomes: Sequence[Outcome]) -> frozenset[str]:
    """Views that points read of the same entity, as the candidates of one request do."""
    first, *others = outcomes
    if not others:
        return frozenset()
    second = others[0].reading
    return frozenset(name for name, read in first.reading.items() if read is second[name])


def _payload(form: _Form, outcome: Outcome, timings_ms: Json, parts: _Parts) -> bytes:
    point, explanation = outcome.point, outcome.explanation
    own = _Own(
        point.received_at_ms,
        point.at_ms,
        point.event_id,
        None if point.arm is None else point.arm._asdict(),
        parts.entities(point.keys),
        parts.inputs(point.inputs),
        parts.features(outcome.reading),
        form.transforms(*outcome.transforms),  # a NaN is encoded as null
        outcome.vector.tolist(),
        outcome.score,
        outcome.decision,
        outcome.reason,
        outcome.rule,
        None if explanation is None else explanation.to_json(),
        outcome.degraded,
        parts.timings_ms(timings_ms),
        None if point.trace is None else point.trace.request_id,
        None if point.trace is None else point.trace.traceparent,
    )
    begins = form.fixed if outcome.score is not None else form.unscored
    return begins + _encoder.encode(own)[1:]


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
    unscored = manifest.decisions if ladder is None else ladder.unscored
    outputs = [f"{each.name}:{name}" for each in manifest.plan.transforms for name in each.outputs]
    return _Form(
        fixed=_beginning(fixed | _policy(manifest.decisions)),
        unscored=_beginning(fixed | _policy(unscored)),
        values={view.name: _named(view.feature_names) for view in manifest.plan.views},
        transforms=_named(outputs),
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


def _named(names: Sequence[str]) -> Named:
    """Numbers by name: a struct is made in a fifth of the time of a dictionary."""
    fields = {f"n{place}": name for place, name in enumerate(names)}
    made: Named = msgspec.defstruct("Values", [*fields], rename=fields, gc=False)
    return made


def _beginning(members: Mapping[str, object]) -> bytes:
    """An object in JSON with more members to follow."""
    return _encoder.encode(members)[:-1] + b","


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(value))
