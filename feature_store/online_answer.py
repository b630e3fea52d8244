"""Feast's response, built from values and readings: every value with its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType
from numpy.typing import NDArray

from core.features.plan import Plan, feature_column
from core.features.reading import Status, ViewReading
from feature_store.online_rows import OnlineRows

STATUSES: Mapping[Status, int] = {
    "PRESENT": FieldStatus.PRESENT,
    "fresh": FieldStatus.PRESENT,
    "stale": FieldStatus.OUTSIDE_MAX_AGE,
    "missing": FieldStatus.NOT_FOUND,
    "NOT_FOUND": FieldStatus.NOT_FOUND,
}
"""Ours to Feast's. A status never changes a value: a window of an unknown entity is 0 or null."""


@dataclass(frozen=True)
class Answer:
    """Arrays by qualified name, and the reading of each row by view."""

    values: Mapping[str, NDArray[np.float64]]
    readings: Mapping[str, Sequence[ViewReading]]


def response_of(
    plan: Plan, rows: OnlineRows, answer: Answer, *, has_full_names: bool
) -> OnlineResponse:
    """Join keys, then the features in the order of the plan's vector."""
    response = GetOnlineFeaturesResponse()
    for key in dict.fromkeys(key for join_keys in plan.entities.values() for key in join_keys):
        _add_key(response, key, rows.columns[key])
    types: dict[str, ValueType] = {}
    for qualified in plan.vector:
        view, _, feature = qualified.partition(":")
        name = feature_column(qualified) if has_full_names else feature
        types[name] = ValueType.DOUBLE
        _add_feature(response, name, answer.values[qualified], answer.readings.get(view))
    return OnlineResponse(response, feature_types=types)


def _add_key(response: GetOnlineFeaturesResponse, name: str, values: Sequence[Any]) -> None:
    response.metadata.feature_names.val.append(name)
    column = response.results.add()
    for value in values:
        held = {"string_val" if isinstance(value, str) else "int64_val": value}
        column.values.append(Value(**held))
        column.statuses.append(FieldStatus.PRESENT)
        column.event_timestamps.add()


def _add_feature(
    response: GetOnlineFeaturesResponse,
    name: str,
    values: NDArray[np.float64],
    readings: Sequence[ViewReading] | None,
) -> None:
    response.metadata.feature_names.val.append(name)
    column = response.results.add()
    for index, value in enumerate(values.tolist()):
        column.values.append(Value() if np.isnan(value) else Value(double_val=value))
        reading = None if readings is None else readings[index]
        status = FieldStatus.PRESENT if reading is None else STATUSES[reading.status]
        column.statuses.append(status)
        newest_ms = None if reading is None else reading.newest_ms
        seconds, rest_ms = divmod(newest_ms or 0, 1_000)
        column.event_timestamps.add(seconds=seconds, nanos=rest_ms * 1_000_000)
