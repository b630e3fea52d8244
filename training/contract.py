"""What a request must carry, from the declaration: keys and request fields."""

from __future__ import annotations

from core.contracts import FieldSpec
from core.features.plan import Plan
from core.interface import ANSWER_FIELDS
from core.use_case import UseCase
from stores.shelf.bundle import Contract


def contract_of(use_case: UseCase, plan: Plan) -> Contract:
    """Contract of a release: every join key and request field of ``plan``.

    A field is checked as the source of the examples checks the column of that name; if
    that source has none, as the first other source that has.
    """
    keys = dict.fromkeys(key for keys in plan.entities.values() for key in keys)
    return Contract(
        keys=tuple(_spec(use_case, key) or FieldSpec(name=key, type="string") for key in keys),
        inputs=tuple(
            _spec(use_case, field.name) or FieldSpec(name=field.name, type=field.type)
            for field in plan.request_fields
        ),
        sources=use_case.sources,
        version=use_case.contract.version,
        keeps_previous_days=use_case.contract.keeps_previous_days,
        answer=ANSWER_FIELDS,
    )


def _spec(use_case: UseCase, name: str) -> FieldSpec | None:
    examples = use_case.source(use_case.label.example_source)
    for source in (examples, *use_case.sources):
        for spec in source.fields:
            if spec.name == name:
                return spec
    return None
