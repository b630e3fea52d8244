"""Feast's historical retrieval, asked the way its users ask, equals the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from example_counts import examples
from feast_repository import declared_worlds, entity_frame, historical, repository, write_events
from worlds import Mismatch, compare

from core.features.plan import feature_column
from stores.layout import Layout

N_WORLDS, N_POINTS = examples(30), 90


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    root = tmp_path_factory.mktemp("offline")
    worlds = declared_worlds(71, N_WORLDS, n_points=N_POINTS)
    for number, declared in enumerate(worlds):
        write_events(Layout(root), declared.world, partition=number < 3)
    store = repository(root)
    store.apply([item for declared in worlds for item in declared.objects])
    return store, worlds


def test_generated_points_equal_the_oracle(proof):
    store, worlds = proof
    n_points, mismatches = 0, list[Mismatch]()
    for declared in worlds:
        frame = historical(store, entity_frame(declared.world), declared.refs)
        answers = {
            name: frame[feature_column(f"{declared.view.name}:{name}")].to_numpy(np.float64)
            for name in declared.world.view.feature_names
        }
        found = compare(declared.world.expected(), answers)
        n_points += found.n_points
        mismatches += found.mismatches
    assert mismatches == []
    assert n_points >= examples(2_000)
    assert len({declared.world.view.digest for declared in worlds}) >= N_WORLDS * 2 // 3


def test_the_worlds_are_not_trivial(proof):
    """A proof over empty windows would prove nothing."""
    _, worlds = proof
    expected = np.concatenate(
        [column for declared in worlds for column in declared.world.expected().values()]
    )
    assert np.isnan(expected).mean() < 0.5
    assert (np.nan_to_num(expected) != 0).mean() > 0.3


def test_order_count_and_duplicates_of_the_frame_are_kept(proof):
    store, worlds = proof
    declared = worlds[0]
    once = entity_frame(declared.world)
    order = np.random.default_rng(5).integers(0, len(once), 200)
    shuffled = once.iloc[order].reset_index(drop=True)
    shuffled["note"] = [f"row {n}" for n in range(len(shuffled))]
    found = historical(store, shuffled, declared.refs)
    assert found["note"].tolist() == shuffled["note"].tolist()
    answers = historical(store, once, declared.refs)
    names = [feature_column(ref) for ref in declared.refs]
    np.testing.assert_array_equal(found[names].to_numpy(), answers[names].to_numpy()[order])


def test_without_known_at_a_point_knows_what_was_available_at_its_instant(proof):
    store, worlds = proof
    declared = worlds[1]
    frame = entity_frame(declared.world)
    said = historical(store, frame.assign(known_at=frame["event_timestamp"]), declared.refs)
    silent = historical(store, frame.drop(columns="known_at"), declared.refs)
    names = [feature_column(ref) for ref in declared.refs]
    np.testing.assert_array_equal(said[names].to_numpy(), silent[names].to_numpy())


def test_instants_without_a_zone_are_utc(proof):
    store, worlds = proof
    declared = worlds[0]
    frame = entity_frame(declared.world)
    naive = frame.assign(
        event_timestamp=frame["event_timestamp"].dt.tz_localize(None),
        known_at=frame["known_at"].dt.tz_localize(None),
    )
    names = [feature_column(ref) for ref in declared.refs]
    one, other = (historical(store, f, declared.refs)[names].to_numpy() for f in (frame, naive))
    np.testing.assert_array_equal(one, other)


def test_instants_of_any_zone_and_unit_are_the_same_instants(proof):
    store, worlds = proof
    declared = worlds[0]
    frame = entity_frame(declared.world)
    abroad = frame.assign(
        event_timestamp=frame["event_timestamp"].dt.tz_convert("Asia/Tokyo"),
        known_at=frame["known_at"].dt.as_unit("ms"),
    )
    names = [feature_column(ref) for ref in declared.refs]
    one, other = (historical(store, f, declared.refs)[names].to_numpy() for f in (frame, abroad))
    np.testing.assert_array_equal(one, other)


def test_a_null_known_at_is_the_points_own_instant(proof):
    store, worlds = proof
    declared = worlds[0]
    frame = entity_frame(declared.world)
    every_other = np.arange(len(frame)) % 2 == 0
    partly = frame.assign(known_at=frame["known_at"].mask(every_other))
    said = frame.assign(known_at=frame["known_at"].mask(every_other, frame["event_timestamp"]))
    names = [feature_column(ref) for ref in declared.refs]
    one, other = (historical(store, f, declared.refs)[names].to_numpy() for f in (partly, said))
    np.testing.assert_array_equal(one, other)
