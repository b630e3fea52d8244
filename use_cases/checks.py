"""What a definition must fulfil before a Feast object is made of it.

Feast's constructors take wrong definitions silently; these refuse them and say why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import get_args

from feast import Entity, PushSource
from feast.aggregation import Aggregation

from core.errors import ConfigurationError
from core.features.plan import ColumnType, WindowFunction
from core.features.tags import COLUMNS_TAG, SourceColumn, columns_from_tag
from core.features.windows import check_grid

_VERSIONED = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*_v[1-9][0-9]*")
_PLAIN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST_NAME = 80

FUNCTIONS: tuple[WindowFunction, ...] = get_args(WindowFunction)
_OF_NUMBERS = frozenset({"sum", "mean", "min", "max", "last", "stddev"})
_NUMBERS: frozenset[ColumnType] = frozenset({"int64", "float64", "bool"})


def columns_of(source: PushSource) -> dict[str, SourceColumn]:
    """Columns of a source that ``source_of`` made."""
    return columns_from_tag(source.name, source.tags.get(COLUMNS_TAG))


def check_versioned(kind: str, name: str) -> None:
    """Refuse a name that does not end in its version, such as ``card_activity_v1``."""
    if _VERSIONED.fullmatch(name) is None or len(name) > _LONGEST_NAME:
        raise ConfigurationError(
            f"the name of a {kind} must be lower-case words joined by single underscores "
            "and end in its version",
            found=repr(name),
            remedy=f"call it {_suggestion(name)}",
        )


def _suggestion(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", name.lower())
    stem = "_".join(words) or "card_activity"
    return stem if re.search(r"_v[1-9][0-9]*$", stem) else f"{stem}_v1"


def check_plain(kind: str, name: str) -> None:
    """Refuse a name that cannot become part of a column's name."""
    if _PLAIN.fullmatch(name) is None or len(name) > _LONGEST_NAME:
        raise ConfigurationError(
            f"the name of a {kind} must be lower-case words joined by single underscores",
            found=repr(name),
            remedy="a double underscore parts view and feature in every column",
        )


def check_unique(kind: str, owner: str, names: Iterable[str]) -> None:
    """Refuse two things of one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigurationError(
                f"{owner} declares a {kind} twice",
                found=repr(name),
                remedy="remove one, or give name= to one of them",
            )
        seen.add(name)


def check_keys(view: str, source: PushSource, entities: Sequence[Entity]) -> None:
    """Refuse an entity whose join key the source does not hold, or may leave empty."""
    columns = columns_of(source)
    check_unique("join key", f"the view {view!r}", [entity.join_key for entity in entities])
    if not entities:
        raise ConfigurationError(
            f"the view {view!r} has no entity", remedy="give the entity that its features describe"
        )
    for entity in entities:
        column = known_column(view, source.name, columns, entity.join_key)
        wanted = entity.value_type.name.lower()
        if column.is_nullable or column.type != wanted:
            state = "nullable " if column.is_nullable else ""
            raise ConfigurationError(
                f"the view {view!r} cannot be keyed by {entity.join_key!r}",
                found=f"a {state}{column.type} column where the entity wants {wanted}",
                remedy="key by a column that is never null and of the entity's type",
            )


def known_column(
    view: str, source: str, columns: dict[str, SourceColumn], name: str
) -> SourceColumn:
    """Column of a source; refused when there is none of that name."""
    if name not in columns:
        raise ConfigurationError(
            f"the view {view!r} reads a column that the source {source!r} has not",
            found=repr(name),
            remedy=f"take one of {', '.join(columns)}",
        )
    return columns[name]


def check_aggregation(view: str, source: PushSource, aggregation: Aggregation) -> None:
    """Refuse an aggregation that no engine could compute, or not as meant."""
    what = f"the feature {aggregation.name or '(without a name)'} of {view!r}"
    check_plain(f"feature of {view!r}", aggregation.name)
    if aggregation.function not in FUNCTIONS:
        raise ConfigurationError(
            f"{what} uses an unknown function",
            found=repr(aggregation.function),
            remedy=f"take one of {', '.join(FUNCTIONS)}",
        )
    column = known_column(view, source.name, columns_of(source), aggregation.column)
    if aggregation.function in _OF_NUMBERS and column.type not in _NUMBERS:
        raise ConfigurationError(
            f"{what} takes the {aggregation.function} of a {column.type} column",
            found=repr(aggregation.column),
            remedy="take count or count_distinct, or a column of numbers",
        )
    _check_times(what, aggregation)


def _check_times(what: str, aggregation: Aggregation) -> None:
    window, grid = aggregation.time_window, aggregation.slide_interval
    if window is None or grid is None:
        raise ConfigurationError(
            f"{what} has no window",
            found="time_window = None",
            remedy="say over which time it looks back",
        )
    window_ms, grid_ms = (milliseconds(what, duration) for duration in (window, grid))
    check_grid(window_ms, grid_ms)
    if window_ms % grid_ms:
        raise ConfigurationError(
            f"{what} has a window that its grid does not divide",
            found=f"window {window_ms} ms, grid {grid_ms} ms",
            remedy="make the window a multiple of the grid",
        )


def milliseconds(what: str, duration: timedelta) -> int:
    """Whole, positive milliseconds of a duration."""
    whole, rest = divmod(duration, timedelta(milliseconds=1))
    if rest or whole <= 0:
        raise ConfigurationError(
            f"{what} has a duration that is not a positive number of milliseconds",
            found=str(duration),
            remedy="declare whole milliseconds",
        )
    return whole
