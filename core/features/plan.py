"""The plan: what a feature service compiles to, and the only thing the engines know.

A plan is frozen, JSON, hashed. Spark, the training set, the online reader and the
bundle take a plan; none of them ever sees Feast. Digests are SHA-256 over canonical
JSON (sorted keys, no spaces), so equal plans have equal digests on every machine.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

WindowFunction = Literal["count", "sum", "mean", "min", "max", "last", "count_distinct", "stddev"]
ColumnType = Literal["int64", "float64", "string", "timestamp", "bool"]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the text that digests are taken over.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [1, 2]})
    '{"a":[1,2],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(value: Any) -> str:
    """SHA-256 hex of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def feature_column(qualified: str) -> str:
    """Column that holds a qualified feature in every table.

    Examples
    --------
    >>> feature_column("card_activity_v1:amount_minor_sum_1d")
    'card_activity_v1__amount_minor_sum_1d'
    """
    view, _, feature = qualified.partition(":")
    return f"{view}__{feature}"


class Frozen(BaseModel):
    """Base of every declared thing: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of all fields."""
        return digest_of(self.model_dump(mode="json"))


class WindowFeature(Frozen):
    """``function(column)`` over the last ``window_ms``, tail cut on a ``grid_ms`` grid.

    Rows with ``floor((t - window_ms) / grid_ms) * grid_ms <= event_timestamp < t`` count.
    ``centre`` is the declared shift of stddev, in the column's unit.
    """

    name: str
    function: WindowFunction
    column: str
    window_ms: int
    grid_ms: int
    centre: float = 0.0


class AttributeFeature(Frozen):
    """One column of the row in force. A string column declares its ``categories``.

    The vector then holds the category's index (float), NaN for null or a value not declared.
    """

    name: str
    column: str
    categories: tuple[str, ...] = ()


class ViewPlan(Frozen):
    """Features of one entity from one source. The version is in the name.

    ``columns`` maps each source column that a feature reads to its type; ``join_keys``
    are in declared order (the order of the key bytes). Exactly one of ``windows`` and
    ``attributes`` is non-empty; ``ttl_ms`` belongs to attributes only.
    """

    name: str
    entity: str
    join_keys: tuple[str, ...]
    source: str
    columns: dict[str, ColumnType]
    windows: tuple[WindowFeature, ...] = ()
    attributes: tuple[AttributeFeature, ...] = ()
    ttl_ms: int | None = None

    @property
    def grids_ms(self) -> tuple[int, ...]:
        """Distinct tail grids, ascending: one set of tiles each."""
        return tuple(sorted({w.grid_ms for w in self.windows}))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all features, in declared order."""
        return tuple(w.name for w in self.windows) + tuple(a.name for a in self.attributes)

    @property
    def reach_ms(self) -> int | None:
        """How far back a value may look: the longest window with its tail, or the ttl.

        None for an attribute without a ttl, which looks back for ever.
        """
        if self.attributes:
            return self.ttl_ms
        return max((w.window_ms + w.grid_ms for w in self.windows), default=0)


class TransformPlan(Frozen):
    """A request-time function, by reference; ``source_digest`` is checked at load.

    ``inputs`` are qualified: ``view:feature``, ``request:field`` or ``at_ms``.
    ``reference`` is ``package.module:function``; the function takes a mapping from the
    unqualified input name to a float64 array and returns a mapping of ``outputs``.
    """

    name: str
    reference: str
    source_digest: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class RequestField(Frozen):
    """A field of the request that transforms may read."""

    name: str
    type: Literal["int64", "float64"]


class Plan(Frozen):
    """A compiled feature service.

    ``vector`` is the order of the model's inputs, each ``view:feature`` (a transform
    counts as a view). ``views`` holds every view that the vector or a transform needs.
    """

    service: str
    views: tuple[ViewPlan, ...]
    transforms: tuple[TransformPlan, ...]
    request_fields: tuple[RequestField, ...]
    vector: tuple[str, ...]

    def view(self, name: str) -> ViewPlan:
        """View called ``name``; KeyError when the plan has none."""
        for view in self.views:
            if view.name == name:
                return view
        raise KeyError(name)

    @property
    def entities(self) -> dict[str, tuple[str, ...]]:
        """Entity name to its join keys, in the order of first use."""
        return {view.entity: view.join_keys for view in self.views}
