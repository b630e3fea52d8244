"""A use case and its compiled plan must speak of the same sources, entities and fields."""

from __future__ import annotations

from core.contracts import FieldSpec, Source
from core.decisions import Decider
from core.degradation import check_degradation
from core.errors import ConfigurationError
from core.fairness import check_fairness
from core.features.plan import Plan
from core.use_case import UseCase


def check_agreement(use_case: UseCase, plan: Plan) -> None:
    """Refuse a plan that the use case's declaration cannot feed.

    Raises
    ------
    ConfigurationError
        If a view reads an undeclared source or entity, a source keeps its rows for less
        time than a view looks back, a request field is no column of the rows that are
        decided about, or a decision rule or a group reads what the plan does not yield.
    """
    declared = {source.name: source for source in use_case.sources}
    for view in plan.views:
        if view.source not in declared:
            raise _disagreement(
                use_case,
                f"the view {view.name!r} reads the source {view.source!r}",
                found=f"sources {', '.join(declared)}",
                remedy="add the source to the use case",
            )
        look_back_ms = max([view.ttl_ms or 0, *(window.window_ms for window in view.windows)])
        kept_ms = declared[view.source].retention_days * 86_400_000
        if kept_ms < look_back_ms:
            raise _disagreement(
                use_case,
                f"the view {view.name!r} looks back {look_back_ms // 86_400_000} days",
                found=f"{view.source!r} is kept for {declared[view.source].retention_days} days",
                remedy="keep the source longer, or look back less",
            )
    _check_entities(use_case, plan)
    _check_requests(use_case, plan)
    _check_decisions(use_case, plan)
    if use_case.fairness is not None:
        check_fairness(use_case.fairness, use_case.decisions, plan)


def _check_entities(use_case: UseCase, plan: Plan) -> None:
    examples = _fields(use_case.source(use_case.label.example_source))
    known = {key for keys in use_case.entities.values() for key in keys}
    for entity, join_keys in plan.entities.items():
        missing = [key for key in join_keys if key not in known]
        if missing:
            raise _disagreement(
                use_case,
                f"the entity {entity!r} is found by {missing[0]!r}",
                found=f"declared join keys {', '.join(sorted(known))}",
                remedy="add the entity to the use case",
            )
        absent = [key for key in join_keys if key not in examples]
        if absent and use_case.scores_grain == "example":
            raise _disagreement(
                use_case,
                f"an example has no {absent[0]!r}, by which {entity!r} is found",
                found=f"columns {', '.join(examples)} of {use_case.label.example_source!r}",
                remedy="put the join key into the example source",
            )


def _check_requests(use_case: UseCase, plan: Plan) -> None:
    examples = _fields(use_case.source(use_case.label.example_source))
    for field in plan.request_fields:
        column = examples.get(field.name)
        if column is None or column.type != field.type:
            raise _disagreement(
                use_case,
                f"the request field {field.name!r} is to be {field.type}",
                found=f"{column.type if column else 'no column'} "
                f"in {use_case.label.example_source!r}",
                remedy="make request() of the example source",
            )


def _check_decisions(use_case: UseCase, plan: Plan) -> None:
    try:
        Decider.of(use_case.decisions, plan)
        if use_case.degradation is not None:
            check_degradation(use_case.degradation, plan)
    except ConfigurationError as error:
        raise _disagreement(use_case, error.wrong, found=error.found, remedy=error.remedy) from None


def _fields(source: Source) -> dict[str, FieldSpec]:
    return {field.name: field for field in source.fields}


def _disagreement(use_case: UseCase, wrong: str, *, found: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"in the use case {use_case.name!r} {wrong}", found=found, remedy=remedy
    )
