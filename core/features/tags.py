"""What a definition says beside Feast's own fields: JSON in the tags of Feast objects.

Builders write it, the compiler reads it; neither knows the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from core.errors import ConfigurationError
from core.features.plan import ColumnType, Frozen

COLUMNS_TAG = "columns"
"""On a source: its columns, as `SourceColumn` by name."""

TRANSFORM_TAG = "transform"
"""On a request-time view: its `core.features.plan.TransformPlan`."""

CENTRE_TAG = "centre"
"""On a field: the centre of its standard deviation."""


class SourceColumn(Frozen):
    """One column of a source, as far as features look at it."""

    type: ColumnType
    is_nullable: bool = False
    categories: tuple[str, ...] = ()


def columns_to_tag(columns: Mapping[str, SourceColumn]) -> str:
    """Text of the columns' tag.

    Examples
    --------
    >>> columns_from_tag("s", columns_to_tag({"x": SourceColumn(type="int64")}))["x"].type
    'int64'
    """
    return json.dumps({name: column.model_dump(mode="json") for name, column in columns.items()})


def columns_from_tag(source: str, tag: str | None) -> dict[str, SourceColumn]:
    """Columns of a source by name, from its tag.

    Raises
    ------
    ConfigurationError
        If the source has no such tag: it was not made by our builders.
    """
    if tag is None:
        raise ConfigurationError(
            f"the Feast source {source!r} does not say which columns it has",
            found=f"no tag {COLUMNS_TAG!r}",
            remedy="make it with use_cases.builders.source_of",
        )
    return {name: SourceColumn.model_validate(spec) for name, spec in json.loads(tag).items()}
