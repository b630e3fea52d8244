from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import worlds as w

from spark_jobs.host import kinds_of, point_in_time

pytestmark = pytest.mark.spark

N_VIEWS, N_PARTS, N_POINTS = 21, 4, 25


def drawn(index: int) -> list[w.World]:
    """Worlds of one view, told apart by the prefix of their keys."""
    rng = np.random.default_rng([404, index])
    view = next(iter(w.worlds(1_000 + index, 3, n_points=1, n_rows=5))).view
    if index % 3 == 2:
        view = list(w.worlds(1_000 + index, 3, n_points=1, n_rows=5))[2].view
    return [
        w.world_of(view, rng, n_points=N_POINTS, prefix=f"w{index}p{part}|")
        for part in range(N_PARTS)
    ]


def as_text(table: pa.Table, world: w.World) -> pa.Table:
    for name in world.view.join_keys:
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(pa.string()))
    return table


def test_one_spark_job_answers_many_worlds_as_the_oracle_does(spark):
    groups = [drawn(index) for index in range(N_VIEWS)]
    views = [parts[0].view for parts in groups]
    events, points, expected = {}, [], []
    for view, parts in zip(views, groups, strict=True):
        together = w.joined(parts)
        events[view.source] = spark.createDataFrame(as_text(w.rows_table(together), together))
        asked = as_text(w.points_table(together), together)
        ids = [f"{view.name}/{number:04d}" for number in range(asked.num_rows)]
        points.append(asked.append_column("point_id", pa.array(ids)))
        answers = [part.expected() for part in parts]
        expected.append({name: np.concatenate([a[name] for a in answers]) for name in answers[0]})
    together = spark.createDataFrame(pa.concat_tables(points, promote_options="default"))
    answered = point_in_time(views, events, together, partitions=3).toArrow()
    answered = answered.sort_by("point_id")

    kinds = kinds_of(views)
    n_points = 0
    for view, wanted in zip(views, expected, strict=True):
        index = next(i for i, kind in enumerate(kinds) if view in kind.views)
        is_own = np.array([i.startswith(f"{view.name}/") for i in answered["point_id"].to_pylist()])
        own = answered.filter(pa.array(is_own))
        matrix = np.array(own[f"values_{index}"].to_pylist(), dtype=np.float64)
        features = kinds[index].features
        got = {
            name: matrix[:, features.index(f"{view.name}:{name}")] for name in view.feature_names
        }
        comparison = w.compare(wanted, got)
        assert comparison.mismatches == ()
        n_points += comparison.n_points
    assert len({view.digest for view in views}) >= 20
    assert n_points >= 2_000


def test_points_keep_their_number_when_keys_are_unknown_or_repeated(spark):
    world = next(w.worlds(5, 1))
    rows, points = w.to_arrow(world)
    doubled = pa.concat_tables([points, points])
    doubled = doubled.append_column("point_id", pa.array([str(i) for i in range(len(doubled))]))
    events = {world.view.source: spark.createDataFrame(rows)}
    frame = spark.createDataFrame(doubled)
    answers = point_in_time([world.view], events, frame, partitions=2)
    assert answers.count() == len(doubled)
    nobody = answers.where("values_0 IS NULL").count()
    assert nobody == 0
