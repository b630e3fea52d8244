"""Feast objects, built the one right way: named, checked and complete.

A features.py calls these and nothing else of Feast. Each returns a genuine Feast object;
what our engines need beyond Feast's own fields stands in its tags.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RequestSource,
    StreamFeatureView,
    ValueType,
)
from feast.aggregation import Aggregation
from feast.data_format import DeltaFormat
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.types import Float64, Int64, String

from core.contracts import Source, check_declaration
from core.errors import ConfigurationError
from core.features.plan import TransformPlan
from core.features.purity import function_digest
from core.features.tags import (
    CENTRE_TAG,
    COLUMNS_TAG,
    TRANSFORM_TAG,
    SourceColumn,
    columns_to_tag,
)
from core.features.transforms import AT_MS, Transform, call, from_lists, short_name
from core.features.windows import DEFAULT_GRIDS, parse_duration, spell_duration
from use_cases.checks import (
    check_aggregation,
    check_keys,
    check_plain,
    check_unique,
    check_versioned,
    columns_of,
    known_column,
)

# Feast calls its stream and on-demand views experimental at every one made or copied.
warnings.filterwarnings("ignore", message=".*experimental.*", category=RuntimeWarning)

View: TypeAlias = FeatureView | OnDemandFeatureView
_DTYPES = {"string": String, "int64": Int64, "float64": Float64}


def entity(
    name: str,
    join_key: str,
    *,
    key_type: Literal["string", "int64"] = "string",
    description: str = "",
) -> Entity:
    """Something that features describe, found by one column of its sources."""
    check_plain("entity", name)
    check_plain("join key", join_key)
    return Entity(
        name=name,
        join_keys=[join_key],
        value_type=ValueType[key_type.upper()],
        description=description,
    )


def source_of(source: Source) -> PushSource:
    """Feast's picture of a source: pushed rows over a Delta table, its columns in a tag."""
    check_declaration(source)
    columns = {
        field.name: SourceColumn(
            type=field.type, is_nullable=field.is_nullable, categories=field.allowed
        )
        for field in source.fields
    }
    table = FileSource(
        name=f"{source.name}_table",
        path=f"lake/events/{source.name}",
        file_format=DeltaFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="available_at",
        description=source.description,
        owner=source.owner,
    )
    return PushSource(
        name=source.name,
        batch_source=table,
        description=source.description,
        owner=source.owner,
        tags={COLUMNS_TAG: columns_to_tag(columns)},
    )


def aggregate(
    column: str, functions: str, windows: str, *, grid: str | None = None
) -> list[Aggregation]:
    """Aggregations of a column: each function over each window, both parted by spaces.

    A feature is called ``{column}_{function}_{window}``. The grid of a window is the
    default one unless given; a window of another length needs one.
    """
    built = []
    for function in functions.split():
        for window in windows.split():
            window_ms = parse_duration(window)
            built.append(
                Aggregation(
                    column=column,
                    function=function,
                    time_window=timedelta(milliseconds=window_ms),
                    slide_interval=timedelta(milliseconds=_grid_ms(window_ms, grid)),
                    name=f"{column}_{function}_{spell_duration(window_ms)}",
                )
            )
    return built


def _grid_ms(window_ms: int, grid: str | None) -> int:
    if grid is not None:
        return parse_duration(grid)
    if window_ms not in DEFAULT_GRIDS:
        known = ", ".join(spell_duration(window) for window in DEFAULT_GRIDS)
        raise ConfigurationError(
            f"a window of {spell_duration(window_ms)} has no default grid",
            found=f"defaults for {known}",
            remedy="give grid=, a divisor of a day",
        )
    return DEFAULT_GRIDS[window_ms]


def windows(
    name: str,
    source: PushSource,
    entities: Entity | Sequence[Entity],
    aggregations: Iterable[Aggregation],
    *,
    owner: str,
    description: str = "",
    centres: Mapping[str, float] | None = None,
) -> StreamFeatureView:
    """View of window features. ``centres`` maps a column to the centre of its stddev."""
    chosen = list(aggregations)
    keys = _entities(entities)
    check_versioned("view", name)
    check_keys(name, source, keys)
    check_unique("feature", f"the view {name!r}", [aggregation.name for aggregation in chosen])
    for aggregation in chosen:
        check_aggregation(name, source, aggregation)
    if not chosen:
        raise ConfigurationError(f"the view {name!r} has no feature", remedy="aggregate a column")
    fields = [Field(name=a.name, dtype=Float64, tags=_centre(a, centres or {})) for a in chosen]
    return StreamFeatureView(
        name=name,
        source=source,
        entities=keys,
        schema=[*_key_fields(keys), *fields],
        aggregations=chosen,
        timestamp_field="event_timestamp",
        ttl=timedelta(0),
        owner=owner,
        description=description,
    )


def _centre(aggregation: Aggregation, centres: Mapping[str, float]) -> dict[str, str]:
    if aggregation.function != "stddev":
        return {}
    if aggregation.column not in centres:
        raise ConfigurationError(
            f"the feature {aggregation.name} needs a declared centre",
            found=f"centres for {sorted(centres)}",
            remedy="give centres={column: a value in the middle of the column's range}",
        )
    return {CENTRE_TAG: repr(float(centres[aggregation.column]))}


def attributes(
    name: str,
    source: PushSource,
    entities: Entity | Sequence[Entity],
    columns: Sequence[str],
    *,
    ttl: str | None,
    owner: str,
    description: str = "",
) -> FeatureView:
    """View of the columns of the row in force; older than ``ttl`` they are null.

    A string column is worth the index of its value among the source's allowed values, an
    instant its epoch milliseconds. Without a ttl (``None``) a row is in force until the next.
    """
    keys = _entities(entities)
    check_versioned("view", name)
    check_keys(name, source, keys)
    check_unique("feature", f"the view {name!r}", columns)
    known = columns_of(source)
    for column in columns:
        _check_attribute(name, column, known_column(name, source.name, known, column))
    return FeatureView(
        name=name,
        source=source,
        entities=keys,
        schema=[*_key_fields(keys), *(Field(name=column, dtype=Float64) for column in columns)],
        ttl=timedelta(milliseconds=parse_duration(ttl) if ttl else 0),
        owner=owner,
        description=description,
    )


def _check_attribute(view: str, name: str, column: SourceColumn) -> None:
    check_plain(f"feature of {view!r}", name)
    if column.type == "string" and not column.categories:
        raise ConfigurationError(
            f"the attribute {name!r} of {view!r} is text without declared categories",
            found="allowed = ()",
            remedy="declare the field's allowed values; the feature is their index",
        )


def request(source: PushSource, *columns: str) -> RequestSource:
    """Fields that a request carries: columns of the source whose rows are decided about."""
    known = columns_of(source)
    fields = []
    for name in columns:
        column = known_column("(request)", source.name, known, name)
        if column.type not in {"int64", "float64"}:
            raise ConfigurationError(
                f"the request field {name!r} is not a number",
                found=column.type,
                remedy="send int64 or float64 fields to request-time functions",
            )
        fields.append(Field(name=name, dtype=_DTYPES[column.type]))
    return RequestSource(name=f"{source.name}_request", schema=fields)


def on_demand(
    name: str,
    function: Callable[..., Any],
    sources: Sequence[FeatureView | RequestSource],
    outputs: Sequence[str],
    *,
    owner: str,
    description: str = "",
) -> OnDemandFeatureView:
    """Request-time view: a pure function of ``sources`` (name their features) and ``at_ms``."""
    check_versioned("view", name)
    transform = TransformPlan(
        name=name,
        reference=f"{function.__module__}:{function.__qualname__}",
        source_digest=function_digest(function),
        inputs=_inputs(name, sources),
        outputs=tuple(outputs),
    )
    _try_out(cast(Transform, function), transform)
    text = transform.model_dump_json()
    return OnDemandFeatureView(
        name=name,
        sources=[s.projection if isinstance(s, FeatureView) else s for s in sources],
        schema=[Field(name=output, dtype=Float64) for output in outputs],
        mode="python",
        udf=cast(Any, from_lists(transform)),
        udf_string=_registered_source(function.__name__, transform),
        tags={TRANSFORM_TAG: text},
        owner=owner,
        description=description,
    )


def _inputs(name: str, sources: Sequence[FeatureView | RequestSource]) -> tuple[str, ...]:
    """Qualified inputs of a request-time view, sorted: the function sees a mapping."""
    inputs = [AT_MS]
    for source in sources:
        if isinstance(source, RequestSource):
            inputs += [f"request:{field.name}" for field in source.schema]
        else:
            inputs += [f"{source.name}:{feature.name}" for feature in source.projection.features]
    check_unique("input", f"the request-time view {name!r}", [short_name(i) for i in inputs])
    return tuple(sorted(inputs))


def _try_out(function: Transform, transform: TransformPlan) -> None:
    """Call the function on two rows, one of them all null, and hold it to its outputs."""
    check_unique("output", f"the request-time view {transform.name!r}", transform.outputs)
    for output in transform.outputs:
        check_plain(f"feature of {transform.name!r}", output)
    sample = {short_name(name): np.array([1.0, np.nan]) for name in transform.inputs}
    try:
        call(function, sample, transform.outputs, transform.reference)
    except KeyError as error:
        raise ConfigurationError(
            f"{transform.reference!r} reads an input that it is not given",
            found=f"{error}; given {', '.join(sorted(sample))}",
            remedy="add the feature or request field to sources",
        ) from error


def _registered_source(name: str, transform: TransformPlan) -> str:
    """Text that Feast executes to get the function back: an import, never a copy."""
    return (
        f"# sha256: {transform.source_digest}\n"
        "from core.features.plan import TransformPlan\n"
        "from core.features.transforms import from_lists\n"
        f"{name} = from_lists(TransformPlan.model_validate_json({transform.model_dump_json()!r}))\n"
    )


def service(
    name: str, views: Sequence[View], *, owner: str, description: str = ""
) -> FeatureService:
    """Inputs of a model: the order of views, and of features in each, is the vector's order."""
    check_versioned("feature service", name)
    check_unique("view", f"the feature service {name!r}", [view.name for view in views])
    if not views:
        raise ConfigurationError(f"the feature service {name!r} is empty", remedy="add a view")
    for view in views:
        _refuse_instants(name, view)
    return FeatureService(name=name, features=list(views), owner=owner, description=description)


def _refuse_instants(service: str, view: View) -> None:
    """Refuse an instant as an input of a model: float32 keeps it to minutes only."""
    if isinstance(view, OnDemandFeatureView | StreamFeatureView) or view.stream_source is None:
        return
    columns = columns_of(view.stream_source)
    for feature in view.projection.features:
        if columns[feature.name].type == "timestamp":
            raise ConfigurationError(
                f"the feature service {service!r} takes an instant as a model's input",
                found=f"{view.name}:{feature.name}, which float32 cannot hold",
                remedy="leave it out; read it in a request-time view that returns an age",
            )


def _entities(entities: Entity | Sequence[Entity]) -> list[Entity]:
    return [entities] if isinstance(entities, Entity) else list(entities)


def _key_fields(entities: Sequence[Entity]) -> list[Field]:
    return [Field(name=e.join_key, dtype=_DTYPES[e.value_type.name.lower()]) for e in entities]
