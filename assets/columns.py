"""What the columns of each table mean, in words, from the declarations that made them."""

from collections.abc import Iterable, Sequence

from core.contracts import Source
from core.decisions import read_beside
from core.features.partials import Slot, slots
from core.features.plan import AttributeFeature, Plan, ViewPlan, WindowFeature, feature_column
from core.features.windows import spell_duration
from core.use_case import UseCase
from stores.masking import is_masked

Described = dict[str, str]

EVENT = {
    "event_id": "Id of the event, unique in its source with its event date.",
    "event_timestamp": "When it happened, UTC.",
    "ingested_at": "When the log got it, UTC.",
    "available_at": "When a decision could have known it, UTC.",
    "position": "Its place in the log: epoch and offset in one number.",
    "partition": "Partition of the log that it came by.",
    "payload_digest": "Digest of its payload; the same id with another digest is a conflict.",
    "event_date": "UTC date on which it happened; the table's partition.",
}
TILE = {
    "entity": "Key of the entity: its join keys, each preceded by its length.",
    "grid_ms": "Length of the tile in milliseconds.",
    "tile_start_ms": "Start of the tile in epoch milliseconds UTC; the tile ends a grid later.",
    "event_date": "UTC date of the tile; the table's partition.",
    "newest_ms": "Event time of its newest row, epoch milliseconds UTC.",
}
EXAMPLE = {
    "snapshot": "Id of the training set; the table's partition.",
    "example_id": "event_id of the row that is an example.",
    "event_timestamp": "Instant of the example, UTC: its features are as known then.",
    "split": "Part it belongs to: train, validation or test.",
    "weight": "Weight in fitting.",
}
SCORE = {
    "as_of": "UTC date that was scored; the table's partition.",
    "example_id": "event_id of the row that was scored.",
    "event_timestamp": "Instant of the score, UTC: its features are as known then.",
    "score": "Output of the model, calibrated where the use case says so.",
    "decision": "What the decision policy makes of the score.",
    "reason": "Rule of the policy that chose the decision.",
    "release": "Number of the release that scored.",
    "read_versions": "Versions of the tables that were read, as JSON.",
}
PREDICTION = {
    "prediction_id": "Id of the prediction, as its answer gave it.",
    "writer": "Process of the service that wrote the record.",
    "segment": "Number of the writer's segment that the record came in.",
    "offset": "Byte of the segment at which the record stands.",
    "received_at": "When the service got the request, UTC.",
    "event_timestamp": "Instant that was asked about, UTC: features are as known then.",
    "release": "Number of the release that decided.",
    "channel": "Channel that the release served in.",
    "score": "Output of the model.",
    "decision": "What the decision policy made of it.",
    "reason": "Reason code of the rule that decided.",
    "degraded": "Level of degradation; null when nothing was missing.",
    "record": "The whole record as JSON, personal values masked.",
    "event_date": "UTC date of the instant that was asked about; the table's partition.",
}
MASKED = "Masked, as in records of predictions."
ONLINE = {
    "key": "View, half of the value and key of the entity.",
    "value": "Tiles, or the attributes in force, packed.",
}
PARTIALS = {
    "count": "Rows with a value of",
    "sum": "Sum of",
    "sum_hi": "Sum, leading part of a double-double, of",
    "sum_lo": "Sum, trailing part of a double-double, of",
    "min": "Least value of",
    "max": "Greatest value of",
    "last": "Last value of",
    "last_event_ms": "Event time, epoch milliseconds UTC, of the last value of",
    "last_available_ms": "When a decision could have known, epoch milliseconds UTC, the last of",
    "last_event_id": "event_id of the last value of",
    "registers": "HyperLogLog registers of the distinct values of",
    "first_hi": "Sum of distances from the declared centre, leading part, of",
    "first_lo": "Sum of distances from the declared centre, trailing part, of",
    "second_hi": "Sum of squared distances from the declared centre, leading part, of",
    "second_lo": "Sum of squared distances from the declared centre, trailing part, of",
}
FUNCTIONS = {
    "count": "Number of",
    "sum": "Sum of",
    "mean": "Mean of",
    "min": "Least",
    "max": "Greatest",
    "last": "Last",
    "count_distinct": "Number of different",
    "stddev": "Standard deviation of",
}


def event_columns(source: Source) -> Described:
    """Columns of a source's events: those of every source, and its fields with their class."""
    return EVENT | {f.name: f"{f.description} ({f.column_class})".strip() for f in source.fields}


def tile_columns(view: ViewPlan, source: Source) -> Described:
    """Columns of a view's tiles."""
    keys = {key: source.field(key).description for key in view.join_keys}
    partials = {name: text for slot in slots(view) for name, text in _partials(slot, source)}
    return TILE | keys | partials


def _partials(slot: Slot, source: Source) -> Iterable[tuple[str, str]]:
    for field in slot.fields:
        part = field.name.removeprefix(f"{slot.column}__")
        part = part.removeprefix(f"moments_{slot.variant}_")
        yield field.name, f"{PARTIALS[part]} {slot.column}{_meaning(slot.column, source)}"


def training_columns(use_case: UseCase, plan: Plan) -> Described:
    """Columns of a use case's training set."""
    label = use_case.label
    truth = use_case.source(label.source).field(label.column).description
    held = (*plan.vector, *carried_beside(use_case, plan))
    features = feature_columns(use_case, plan, held)
    return EXAMPLE | _masked_keys(use_case, plan) | {"label": truth} | features


def carried_beside(use_case: UseCase, plan: Plan) -> tuple[str, ...]:
    """What rules and declared groups read and the vector lacks: training sets carry it beside."""
    groups = use_case.fairness.values if use_case.fairness is not None else ()
    names_read = (*read_beside(use_case.decisions, plan), *groups)
    return tuple(dict.fromkeys(name for name in names_read if name not in plan.vector))


def score_columns(use_case: UseCase, plan: Plan) -> Described:
    """Columns of a use case's batch scores."""
    keys = _keys(use_case, plan)
    is_example = use_case.scores_grain == "example"
    return {k: v for k, v in SCORE.items() if is_example or k != "example_id"} | keys


def feature_columns(use_case: UseCase, plan: Plan, names: Sequence[str]) -> Described:
    """Columns of features and request fields that a plan yields, by qualified name."""
    features = {
        f"{view.name}:{feature.name}": _feature(view, feature, use_case.source(view.source))
        for view in plan.views
        for feature in _features_of(view)
    }
    computed = {
        f"{made.name}:{output}": f"{output} of {made.reference}, computed at the example's instant."
        for made in plan.transforms
        for output in made.outputs
    }
    examples = use_case.source(use_case.label.example_source)
    asked = {
        f"request:{field.name}": f"{field.name} asked for{_meaning(field.name, examples)}"
        for field in plan.request_fields
    }
    meaning = features | computed | asked
    return {feature_column(name): meaning[name] for name in names}


def _features_of(view: ViewPlan) -> Sequence[WindowFeature | AttributeFeature]:
    return [*view.windows, *view.attributes]


def _keys(use_case: UseCase, plan: Plan) -> Described:
    fields = {f.name: f for source in use_case.sources for f in source.fields}
    return {key: fields[key].description for keys in plan.entities.values() for key in keys}


def _masked_keys(use_case: UseCase, plan: Plan) -> Described:
    """Keys as they stand in a training set."""
    examples = use_case.source(use_case.label.example_source)
    masked = {field.name for field in examples.fields if is_masked(field)}
    return {
        name: f"{said} {MASKED}".strip() if name in masked else said
        for name, said in _keys(use_case, plan).items()
    }


def _feature(view: ViewPlan, feature: WindowFeature | AttributeFeature, source: Source) -> str:
    column = feature.column
    if isinstance(feature, AttributeFeature):
        age = f", at most {spell_duration(view.ttl_ms)} old" if view.ttl_ms else ""
        return f"{column} of the {view.entity} in force{age}{_meaning(column, source)}"
    span, grid = spell_duration(feature.window_ms), spell_duration(feature.grid_ms)
    what = f"{FUNCTIONS[feature.function]} {column} of the {view.entity}"
    return f"{what} over {span}, tail on a grid of {grid}{_meaning(column, source)}"


def _meaning(column: str, source: Source) -> str:
    """What the contract says of a column, as the end of a sentence about it."""
    said = source.field(column).description
    return f": {said}" if said else "."
