"""Feast's online retrieval over base and delta, at any instant, equals the oracle."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from batches import fold_events
from example_counts import examples
from feast_repository import (
    declared_worlds,
    entity_row,
    instant,
    repository,
    write_events,
    write_tiles,
)
from servers import redis_server
from worlds import compare

from core.errors import InvalidInputError
from core.features.blob import delta_key
from core.features.fold import YOUNG_MS, fold
from core.features.keys import epoch_of
from feature_store.online import connect
from stores.layout import Layout

N_WORLDS, N_POINTS = examples(30), 140


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def proof(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("online")
    with ExitStack() as stack:
        url = ""
        if request.param == "redis":
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="redis")))
            url = stack.enter_context(redis_server(directory)).url
        worlds = declared_worlds(72, N_WORLDS, n_points=N_POINTS)
        store = repository(root, url=url)
        store.apply([item for declared in worlds for item in declared.objects])
        heads = {}
        for number, declared in enumerate(worlds):
            heads[declared.view.name] = _make_online(store, root, declared, number)
        yield store, worlds, heads
        store.teardown()


def _make_online(store, root, declared, number):
    """Batch covers the first epochs, the folder folds the whole log; returns the horizon."""
    world, layout = declared.world, Layout(root)
    epochs = sorted({epoch_of(row.position) for row in world.rows})
    covered = epochs[len(epochs) // 2]
    at = sorted(at_ms for _, at_ms, _ in world.points)
    head_ms = at[len(at) // 5]
    if world.view.windows:
        write_events(layout, world, partition=number < 2)
        write_tiles(layout, world, epoch=covered, partition=number < 2)
    else:
        rows = [row for row in world.rows if epoch_of(row.position) <= covered]
        write_events(layout, type(world)(world.view, world.key_types, rows, []))
    now = instant(head_ms + YOUNG_MS)
    store.materialize(now - timedelta(days=1), now, feature_views=[declared.view.name])
    online = connect(store.config)
    online.write(
        {
            delta_key(world.view.name, entity): fold(
                world.view, None, events, now_ms=head_ms + YOUNG_MS, base_epoch=-1
            )
            for entity, events in fold_events(world.rows).items()
        }
    )
    online.close()
    return head_ms


@pytest.mark.slow
def test_generated_points_equal_the_oracle(proof):
    store, worlds, heads = proof
    n_points, mismatches = 0, []
    for declared in worlds:
        world = declared.world
        points = [p for p in world.points if p[1] >= heads[declared.view.name]]
        asked = type(world)(world.view, world.key_types, world.rows, points)
        rows = [entity_row(world.view, world.key_types, key, at) for key, at, _ in points]
        answer = store.get_online_features(declared.refs, rows).to_dict()
        answers = {
            name: np.array([np.nan if v is None else v for v in answer[name]], np.float64)
            for name in world.view.feature_names
        }
        last = max(row.position for row in world.rows)
        found = compare(asked.expected_as_seen([last] * len(points)), answers)
        n_points += found.n_points
        mismatches += [(declared.view.name, *mismatch) for mismatch in found.mismatches]
    assert mismatches == []
    assert n_points >= 2_000
    assert len({declared.world.view.digest for declared in worlds}) >= N_WORLDS * 2 // 3


def test_points_before_the_head_are_refused_not_guessed(proof):
    store, worlds, heads = proof
    n_refused = 0
    for declared in worlds:
        world, head_ms = declared.world, heads[declared.view.name]
        known = {row.entity for row in world.rows}
        for key, at_ms, _ in world.points:
            if at_ms < head_ms and key in known:
                row = entity_row(world.view, world.key_types, key, at_ms)
                with pytest.raises(InvalidInputError) as error:
                    store.get_online_features(declared.refs, [row])
                assert error.value.code == "at_too_old"
                n_refused += 1
                break
    assert n_refused >= N_WORLDS * 2 // 3


def test_a_point_before_the_head_is_refused_though_nothing_is_held_of_its_entity(proof):
    """An idle entity has no base to say where its view begins; the view's own mark says it."""
    store, worlds, heads = proof
    for declared in worlds:
        keys = declared.world.view.join_keys
        row = {
            key: 10**15 if kind == "int64" else "never seen"
            for key, kind in zip(keys, declared.world.key_types, strict=True)
        }
        head_ms = heads[declared.view.name]
        answer = store.get_online_features(
            declared.refs, [{**row, "event_timestamp": instant(head_ms)}]
        ).to_dict()
        assert set(answer) == {*keys, *declared.world.view.feature_names}
        with pytest.raises(InvalidInputError) as error:
            store.get_online_features(
                declared.refs, [{**row, "event_timestamp": instant(head_ms - 1)}]
            )
        assert error.value.code == "at_too_old"


def test_joined_look_alike_keys_stay_apart_and_rows_keep_their_order(proof):
    store, worlds, heads = proof
    declared = next(d for d in worlds if len(d.world.view.join_keys) == 2)
    world, at_ms = declared.world, heads[declared.view.name] + 1
    keys = sorted({row.entity for row in world.rows})
    rows = [entity_row(world.view, world.key_types, key, at_ms) for key in [*keys, *keys[::-1]]]
    answer = store.get_online_features(declared.refs, rows).to_dict()
    for name in (*world.view.join_keys, *world.view.feature_names):
        assert answer[name] == answer[name][: len(keys)] + answer[name][: len(keys)][::-1]
