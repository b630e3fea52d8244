"""Two versions of a view, computed on the same points of the past."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from core.errors import InvalidInputError
from core.features.comparison import ViewReport, differences, features_of_one
from core.features.plan import ViewPlan, feature_column
from stores.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa

SEED = 20_260_101


def compared(
    layout: Layout, old: ViewPlan, new: ViewPlan, n_points: int, *, at_ms: int
) -> ViewReport:
    """Features of both, at events of the old version's source drawn by chance, as known then.

    ``at_ms`` is the present, for the report.

    Raises
    ------
    InvalidInputError
        If they are not about the same entity, or there is no event to compare at.
    """
    from assets.tables import version_of
    from stores.frames.frames import view_table

    if sorted(old.join_keys) != sorted(new.join_keys):
        raise InvalidInputError(
            "the two views are not about the same entity",
            found=f"{', '.join(old.join_keys)} and {', '.join(new.join_keys)}",
            remedy="compare versions of one view",
        )
    read = {view.source: version_of(layout.events(view.source)) for view in (old, new)}
    points = _points(_rows(layout, old, read), old, n_points)
    values = []
    for view in (old, new):
        table = view_table(view, _rows(layout, view, read, of=points), points)
        columns = {
            name: table[feature_column(f"{view.name}:{name}")] for name in view.feature_names
        }
        values.append({name: column.to_numpy() for name, column in columns.items()})
    return ViewReport(
        old=old.name,
        old_digest=old.digest,
        new=new.name,
        new_digest=new.digest,
        at_ms=at_ms,
        n_points=points.num_rows,
        read_versions=read,
        differences=differences(*values),
        only_in_old=features_of_one(old, new),
        only_in_new=features_of_one(new, old),
    )


def _rows(
    layout: Layout, view: ViewPlan, read: Mapping[str, int], of: "pa.Table | None" = None
) -> "pa.Table":
    """Events of a view's source, those of the points' entities alone where points are given."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from assets.tables import read_columns

    own = ["event_id", "event_timestamp", "available_at"]
    columns = dict.fromkeys((*own, *view.join_keys, *view.columns))
    table = read_columns(layout.events(view.source), list(columns), version=read[view.source])
    if of is not None:
        for name in view.join_keys:
            table = table.filter(pc.is_in(table[name], pa.array(of[name].unique())))
    return table


def _points(rows: "pa.Table", view: ViewPlan, n_points: int) -> "pa.Table":
    if not rows.num_rows:
        raise InvalidInputError(
            "there is no event to compare at", found=f"an empty {view.source}", remedy="ingest some"
        )
    chosen = np.random.default_rng(SEED).permutation(rows.num_rows)[:n_points]
    sample = rows.take(np.sort(chosen))
    return sample.select([*view.join_keys, "event_timestamp"])
