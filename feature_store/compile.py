"""From Feast objects to a plan: the one place that reads both.

Only Feast objects are read, so a definition compiles to the same plan from the code that
declares it and from the registry that it was applied to.
"""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from feast import FeatureService, FeatureView, StreamFeatureView
from feast.aggregation import Aggregation
from feast.field import Field
from feast.on_demand_feature_view import OnDemandFeatureView

from core.errors import ConfigurationError
from core.features.plan import (
    AttributeFeature,
    Plan,
    RequestField,
    TransformPlan,
    ViewPlan,
    WindowFeature,
    WindowFunction,
)
from core.features.tags import (
    CENTRE_TAG,
    COLUMNS_TAG,
    TRANSFORM_TAG,
    SourceColumn,
    columns_from_tag,
)
from feature_store.catalogue import Catalogue

_REQUEST_TYPES = {"Int64": "int64", "Float64": "float64"}


def compile_service(service: FeatureService, catalogue: Catalogue) -> Plan:
    """Plan of a feature service; the order of its projections is the vector's order.

    Parameters
    ----------
    service
        The model's inputs.
    catalogue
        Where the service's views, and the views that its request-time views read, are
        looked up.

    Raises
    ------
    ConfigurationError
        If a view is missing or was not made by our builders.
    """
    vector = [
        f"{projection.name}:{feature.name}"
        for projection in service.feature_view_projections
        for feature in projection.features
    ]
    return compile_vector(service.name, vector, catalogue)


def compile_vector(name: str, vector: list[str], catalogue: Catalogue) -> Plan:
    """Plan that yields the features of ``vector`` (each ``view:feature``) in that order."""
    transforms: dict[str, TransformPlan] = {}
    request_fields: dict[str, RequestField] = {}
    names: dict[str, None] = {}
    for qualified in vector:
        view = qualified.partition(":")[0]
        if view in transforms:
            continue
        if view not in catalogue.on_demand:
            names[view] = None
            continue
        on_demand = catalogue.on_demand[view]
        transforms[view] = transform_plan(on_demand)
        request_fields.update(_request_fields(on_demand))
    for transform in transforms.values():
        names.update(dict.fromkeys(_views_read(transform)))
    plan = Plan(
        service=name,
        views=tuple(view_plan(catalogue.view(view)) for view in names),
        transforms=tuple(transforms.values()),
        request_fields=tuple(request_fields.values()),
        vector=tuple(vector),
    )
    _refuse_unknown_features(plan)
    return plan


def _views_read(transform: TransformPlan) -> list[str]:
    views = [name.partition(":")[0] for name in transform.inputs if ":" in name]
    return [view for view in views if view != "request"]


def _refuse_unknown_features(plan: Plan) -> None:
    known = {f"{view.name}:{feature}" for view in plan.views for feature in view.feature_names}
    produced = {f"{t.name}:{output}" for t in plan.transforms for output in t.outputs}
    known |= produced | {f"request:{field.name}" for field in plan.request_fields} | {"at_ms"}
    wanted = [*plan.vector, *(name for t in plan.transforms for name in t.inputs)]
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise ConfigurationError(
            f"the feature service {plan.service!r} asks for features that no view has",
            found=", ".join(unknown),
            remedy="name features of the views, as the views declare them",
        )


def transform_plan(view: OnDemandFeatureView) -> TransformPlan:
    """Plan of a request-time view, as its builder declared it."""
    if TRANSFORM_TAG not in view.tags:
        raise ConfigurationError(
            f"the on-demand view {view.name!r} does not say which function it is",
            found=f"no tag {TRANSFORM_TAG!r}",
            remedy="make it with use_cases.builders.on_demand",
        )
    return TransformPlan.model_validate_json(view.tags[TRANSFORM_TAG])


def _request_fields(view: OnDemandFeatureView) -> dict[str, RequestField]:
    fields = [f for source in view.source_request_sources.values() for f in source.schema]
    return {
        field.name: RequestField.model_validate(
            {"name": field.name, "type": _REQUEST_TYPES[str(field.dtype)]}
        )
        for field in sorted(fields, key=lambda field: str(field.name))
    }


def view_plan(view: FeatureView) -> ViewPlan:
    """Plan of a view: all its features, whatever part of them a service takes."""
    source = view.stream_source
    if source is None:
        raise ConfigurationError(
            f"the view {view.name!r} is not fed by a source of ours",
            found=f"batch source {getattr(view.batch_source, 'name', None)!r} only",
            remedy="make it with use_cases.builders",
        )
    columns = columns_from_tag(source.name, source.tags.get(COLUMNS_TAG))
    join_keys = tuple(field.name for field in view.entity_columns)
    if isinstance(view, StreamFeatureView):
        features = {field.name: field for field in view.schema}
        windows = tuple(_window(a, features[a.name]) for a in view.aggregations)
        attributes: tuple[AttributeFeature, ...] = ()
        ttl_ms = None
    else:
        windows = ()
        attributes = tuple(_attribute(f, columns) for f in view.features if f.name not in join_keys)
        ttl_ms = _milliseconds(view.ttl) or None
    read = [*(window.column for window in windows), *(a.column for a in attributes)]
    return ViewPlan(
        name=view.name,
        entity="+".join(view.entities),
        join_keys=join_keys,
        source=source.name,
        columns={name: columns[name].type for name in sorted(set(read))},
        windows=windows,
        attributes=attributes,
        ttl_ms=ttl_ms,
    )


def _window(aggregation: Aggregation, field: Field) -> WindowFeature:
    return WindowFeature(
        name=aggregation.name,
        function=cast(WindowFunction, aggregation.function),
        column=aggregation.column,
        window_ms=_milliseconds(aggregation.time_window),
        grid_ms=_milliseconds(aggregation.slide_interval),
        centre=float(field.tags.get(CENTRE_TAG, "0")),
    )


def _attribute(field: Field, columns: dict[str, SourceColumn]) -> AttributeFeature:
    return AttributeFeature(
        name=field.name, column=field.name, categories=columns[field.name].categories
    )


def _milliseconds(duration: timedelta | None) -> int:
    return 0 if duration is None else duration // timedelta(milliseconds=1)
