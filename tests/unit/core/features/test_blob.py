"""Online bytes: whole and of this definition, or an IntegrityError."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from batches import bases, fold_events
from worlds import World, worlds

from core.errors import IntegrityError, InvalidInputError
from core.features.blob import BASE, DELTA, Contents, base_key, codec_of, delta_key
from core.features.fold import FoldEvent, fold
from core.features.keys import entity_key
from core.features.partials import RawRow
from core.features.plan import ViewPlan, WindowFeature
from core.features.reading import read_view

AT_MS = 1_780_000_000_000


def values_of(world: World) -> tuple[bytes, bytes]:
    """A base and a delta of one entity of the world, with tiles and raw rows in both."""
    entity = max(fold_events(world.rows).items(), key=lambda item: len(item[1]))[0]
    events = fold_events(world.rows)[entity]
    middle_ms = sorted(event.event_ms for event in events)[len(events) // 2]
    base = bases(world.view, world.rows, epoch=2**31 - 1, head_ms=middle_ms)[entity]
    delta = fold(world.view, None, events, now_ms=middle_ms + 300_000, base_epoch=-1)
    return base, delta


def test_a_value_taken_apart_and_put_together_is_the_same_bytes():
    for world in worlds(5, 30):
        codec = codec_of(world.view)
        base, delta = values_of(world)

        assert codec.encode(BASE, codec.decode(BASE, base)) == base
        assert codec.encode(DELTA, codec.decode(DELTA, delta)) == delta


def test_the_order_of_tiles_and_rows_given_does_not_matter():
    for world in worlds(6, 6):
        codec = codec_of(world.view)
        _, delta = values_of(world)
        contents = codec.decode(DELTA, delta)
        contents.tiles = {g: dict(reversed(t.items())) for g, t in contents.tiles.items()}
        contents.offsets = dict(reversed(contents.offsets.items()))
        if codec.has_ties:
            contents.rows.reverse()

        assert codec.encode(DELTA, contents) == delta


@pytest.mark.parametrize("which", [0, 1])
def test_every_cut_and_every_flipped_byte_is_found(which: int):
    world = next(worlds(8, 1))
    data = values_of(world)[which]
    parts: list[bytes | None] = [None, None]

    for length in range(len(data)):
        parts[which] = data[:length]
        with pytest.raises(IntegrityError):
            read_view(world.view, parts[0], parts[1], 2**62)
    for place in range(0, len(data), 3):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        parts[which] = bytes(flipped)
        with pytest.raises(IntegrityError):
            read_view(world.view, parts[0], parts[1], 2**62)


def test_garbage_and_longer_bytes_are_found():
    world = next(worlds(8, 1))
    base, _ = values_of(world)
    rng = np.random.default_rng(1)

    for data in (b"", base + b"\x00", base + base, rng.bytes(4_000), b"\x00" * 200):
        with pytest.raises(IntegrityError, match="cannot be read"):
            read_view(world.view, data, None, 2**62)


def test_counts_that_promise_more_than_there_is_are_found_even_under_a_right_checksum():
    world = next(worlds(8, 1))
    base, _ = values_of(world)
    told = bytearray(base[:-4])
    struct.pack_into("<I", told, 40, 2**31)  # the number of raw rows
    forged = bytes(told) + struct.pack("<I", zlib.crc32(told))

    with pytest.raises(IntegrityError):
        read_view(world.view, forged, None, 2**62)


def test_a_value_of_another_definition_is_found():
    world = next(worlds(8, 1))
    base, delta = values_of(world)
    shorter = world.view.windows[0].model_copy(update={"centre": 9.0})
    changed = world.view.model_copy(update={"windows": (shorter, *world.view.windows[1:])})

    with pytest.raises(IntegrityError, match="another definition"):
        read_view(changed, base, None, 2**62)
    with pytest.raises(IntegrityError, match="another definition"):
        read_view(changed, None, delta, 2**62)
    with pytest.raises(IntegrityError, match="another definition"):
        fold(changed, delta, [], now_ms=0, base_epoch=-1)


def test_base_and_delta_are_not_taken_for_each_other():
    world = next(worlds(8, 1))
    base, delta = values_of(world)

    with pytest.raises(IntegrityError, match=r"a base value.*kind 1"):
        read_view(world.view, delta, None, 2**62)
    with pytest.raises(IntegrityError, match=r"a delta value.*kind 0"):
        read_view(world.view, None, base, 2**62)


def test_keys_of_views_entities_and_families_never_meet():
    names, entities = ("card_v1", "card_v1_x"), (["1", "11"], ["11", "1"], ["}{", ""], ["é"])
    keys = [key(n, entity_key(e)) for key in (base_key, delta_key) for n in names for e in entities]

    assert len(set(keys)) == len(keys)


def test_both_keys_of_an_entity_hash_to_one_slot_of_a_cluster():
    for entity in (["c1"], ["}{", "x"], ["{a}"]):
        tags = {
            key[key.index(b"{") + 1 : key.index(b"}")]
            for key in (
                base_key("card_v1", entity_key(entity)),
                delta_key("card_v1", entity_key(entity)),
            )
        }
        assert len(tags) == 1
        assert b"" not in tags


def one(function: str) -> ViewPlan:
    window = WindowFeature(
        name="n_10m", function=function, column="n", window_ms=600_000, grid_ms=60_000
    )
    return ViewPlan(
        name="v1",
        entity="card",
        join_keys=("card",),
        source="s",
        columns={"n": "int64"},
        windows=(window,),
    )


def test_a_sum_beyond_64_bits_is_refused():
    events = [FoldEvent(1, k, "e", AT_MS - 400_000, 0, {"n": 2**62}) for k in range(2)]

    with pytest.raises(InvalidInputError, match="does not fit its field"):
        fold(one("sum"), None, events, now_ms=AT_MS, base_epoch=-1)


def test_a_small_entity_takes_few_bytes():
    view = one("sum")
    event = FoldEvent(1, 0, "e" * 200, AT_MS, AT_MS, {"n": 5})
    raw = fold(view, None, [event], now_ms=AT_MS, base_epoch=-1)
    tiled = fold(view, raw, [], now_ms=AT_MS + 400_000, base_epoch=-1)

    assert len(raw) <= 100
    assert len(tiled) <= 100


def test_a_cell_that_is_missing_stays_missing():
    codec = codec_of(one("last"))
    rows = [RawRow(5, 6, b"a", 7, (None,)), RawRow(5, 6, b"b", 7, (0,))]
    data = codec.encode(DELTA, Contents(1, 2, 3, {7: 9}, {}, rows))

    assert codec.decode(DELTA, data).rows == rows
    opened = codec.open(DELTA, data)
    assert [codec.row_of(DELTA, opened.rows, k) for k in range(2)] == rows
