"""What materialise writes, what it says of it, and what it refuses."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pytest
import world_drawing as drawing
from batches import bases
from deltalake import CommitProperties, DeltaTable, write_deltalake
from feast_repository import tiles_of, write_events, write_table, write_tiles
from memory_store import MemoryOnlineStore
from worlds import World, rows_table, world_of

from core.errors import IntegrityError, NotReadyError
from core.features.blob import BASE, Contents, base_key, codec_of
from core.features.fold import YOUNG_MS
from core.features.keys import epoch_of, position
from feature_store import engine
from feature_store.engine import materialise
from stores.layout import Layout
from stores.online.watermarks import Covered, covered_key, decode_covered
from stores.tables import epoch_said, open_table


def world(kind: str = "windows", seed: int = 1) -> World:
    rng = np.random.default_rng([31, seed])
    name = f"{kind}_{seed}_v1"
    draw = drawing.window_view if kind == "windows" else drawing.attribute_view
    return world_of(draw(rng, name), rng, n_points=40)


def last_epoch(drawn: World) -> int:
    return max(epoch_of(row.position) for row in drawn.rows)


def middle_ms(drawn: World) -> int:
    return sorted(at_ms for _, at_ms, _ in drawn.points)[len(drawn.points) // 2]


def meaning(drawn: World, value: bytes) -> Contents:
    """A value taken apart; raw rows whose order does not count are put in one."""
    contents = codec_of(drawn.view).decode(BASE, value)
    contents.rows.sort(key=repr)
    return contents


@pytest.mark.parametrize("kind", ["windows", "attributes"])
@pytest.mark.parametrize("seed", range(8))
def test_values_hold_what_batch_means(tmp_path, monkeypatch, kind, seed):
    """From partitioned tables, two entities at a time: the same as from all rows at once."""
    monkeypatch.setattr(engine, "ENTITIES_AT_ONCE", 2)
    monkeypatch.setattr(engine, "VALUES_A_WRITE", 3)
    drawn, layout, store = world(kind, seed), Layout(tmp_path), MemoryOnlineStore()
    write_events(layout, drawn, partition=True)
    if drawn.view.windows:
        write_tiles(layout, drawn, epoch=last_epoch(drawn), partition=True)
    now_ms = middle_ms(drawn)
    report = materialise(drawn.view, layout=layout, store=store, now_ms=now_ms)
    expected = bases(drawn.view, drawn.rows, epoch=last_epoch(drawn), head_ms=now_ms - YOUNG_MS)
    covered = store.values.pop(covered_key(drawn.view.name))
    assert {key: meaning(drawn, value) for key, value in store.values.items()} == {
        base_key(drawn.view.name, key): meaning(drawn, v) for key, v in expected.items()
    }
    last = position(last_epoch(drawn), 2**32 - 1)
    assert decode_covered(covered) == Covered(last, now_ms - YOUNG_MS)
    assert report.n_entities == len(expected)
    assert report.n_bytes == sum(map(len, expected.values()))
    assert (report.epoch, report.head_ms) == (last_epoch(drawn), now_ms - YOUNG_MS)
    assert report.events_version == 0
    assert report.tiles_version == (0 if drawn.view.windows else None)


def test_a_second_run_writes_the_same_bytes(tmp_path):
    drawn, layout, store = world(), Layout(tmp_path), MemoryOnlineStore()
    write_events(layout, drawn)
    write_tiles(layout, drawn, epoch=last_epoch(drawn))
    runs = []
    for _ in range(2):
        report = materialise(drawn.view, layout=layout, store=store, now_ms=10**12)
        runs.append((report, dict(store.values)))
    assert runs[0] == runs[1]


def test_online_values_never_go_back(tmp_path):
    """The folder drops what a finished base covers: an older base would lose it for good."""
    drawn, layout, store = world(), Layout(tmp_path), MemoryOnlineStore()
    write_events(layout, drawn)
    write_tiles(layout, drawn, epoch=last_epoch(drawn))
    materialise(drawn.view, layout=layout, store=store, now_ms=middle_ms(drawn))
    before = dict(store.values)
    write_tiles(layout, drawn, epoch=last_epoch(drawn) - 1)
    with pytest.raises(IntegrityError, match="cannot go back") as error:
        materialise(drawn.view, layout=layout, store=store, now_ms=middle_ms(drawn))
    assert str(last_epoch(drawn)) in error.value.found
    assert store.values == before


def test_a_run_that_is_cut_short_does_not_say_that_it_covers_anything(tmp_path, monkeypatch):
    drawn, layout = world(), Layout(tmp_path)
    write_events(layout, drawn)
    write_tiles(layout, drawn, epoch=last_epoch(drawn))
    monkeypatch.setattr(engine, "VALUES_A_WRITE", 1)

    class Failing(MemoryOnlineStore):
        def write(self, items):
            if len(self.values) == 2:
                raise OSError("disk full")
            super().write(items)

    store = Failing()
    with pytest.raises(OSError, match="disk full"):
        materialise(drawn.view, layout=layout, store=store, now_ms=middle_ms(drawn))
    assert len(store.values) == 2
    assert covered_key(drawn.view.name) not in store.values


def test_a_run_waits_for_another_of_its_view_and_then_reads_the_tables(tmp_path, monkeypatch):
    """Side by side, the one with the older tables would write over the younger one's values."""
    drawn, layout = world(), Layout(tmp_path)
    write_events(layout, drawn)
    write_tiles(layout, drawn, epoch=last_epoch(drawn) - 1)
    monkeypatch.setattr(engine, "VALUES_A_WRITE", 1)
    epochs: list[int] = []
    second = threading.Thread(target=lambda: epochs.append(run().epoch))

    class Slow(MemoryOnlineStore):
        def write(self, items):
            if second.ident is None:  # the first run has read its tables and begins to write
                write_tiles(layout, drawn, epoch=last_epoch(drawn))
                second.start()
                second.join(timeout=0.2)
            super().write(items)

    store = Slow()

    def run():
        return materialise(drawn.view, layout=layout, store=store, now_ms=middle_ms(drawn))

    assert run().epoch == last_epoch(drawn) - 1
    second.join(timeout=60)
    assert epochs == [last_epoch(drawn)]
    values = [value for key, value in store.values.items() if key.startswith(b"base")]
    opened = [codec_of(drawn.view).decode(BASE, value) for value in values]
    assert opened
    assert {each.epoch for each in opened} == {last_epoch(drawn)}
    covered = store.values[covered_key(drawn.view.name)]
    assert epoch_of(decode_covered(covered).position) == last_epoch(drawn)


def test_missing_tables_are_named(tmp_path):
    drawn, layout, store = world(), Layout(tmp_path), MemoryOnlineStore()
    with pytest.raises(NotReadyError, match="does not exist yet") as error:
        materialise(drawn.view, layout=layout, store=store, now_ms=0)
    assert layout.events(drawn.view.source) in error.value.found
    write_events(layout, drawn)
    with pytest.raises(NotReadyError) as error:
        materialise(drawn.view, layout=layout, store=store, now_ms=0)
    assert layout.tiles(drawn.view.name) in error.value.found


def test_a_table_that_says_no_epoch_is_refused(tmp_path):
    drawn, layout = world("attributes"), Layout(tmp_path)
    uri = layout.events(drawn.view.source)
    write_table(uri, rows_table(drawn), epoch=1)
    table = rows_table(drawn)
    bare = Layout(tmp_path / "bare")
    (tmp_path / "bare/lake/events").mkdir(parents=True)
    write_deltalake(bare.events(drawn.view.source), table)
    assert epoch_said(open_table(uri)) == 1
    assert epoch_said(open_table(bare.events(drawn.view.source))) is None
    with pytest.raises(NotReadyError, match="cannot be materialised"):
        materialise(drawn.view, layout=bare, store=MemoryOnlineStore(), now_ms=0)


def test_compaction_does_not_hide_the_epoch_and_versions_are_kept_apart(tmp_path):
    drawn, layout = world(), Layout(tmp_path)
    uri = layout.tiles(drawn.view.name)
    write_tiles(layout, drawn, epoch=3)
    said = CommitProperties(custom_metadata={"userMetadata": '{"epoch": 5}'})
    tiles = tiles_of(drawn.view, drawn.rows)
    write_deltalake(uri, tiles, mode="append", commit_properties=said)
    DeltaTable(uri).optimize.compact()
    assert open_table(uri).version() == 2
    assert [epoch_said(open_table(uri, version=v)) for v in (None, 2, 1, 0)] == [5, 5, 5, 3]


def test_rows_that_name_no_entity_are_left_out(tmp_path):
    drawn, layout, store = world("attributes"), Layout(tmp_path), MemoryOnlineStore()
    table = rows_table(drawn)
    key = drawn.view.join_keys[0]
    nameless = table.slice(0, 5).set_column(
        table.column_names.index(key), key, pa.nulls(5, table[key].type)
    )
    both = pa.concat_tables([table, nameless])
    write_table(layout.events(drawn.view.source), both, epoch=last_epoch(drawn))
    report = materialise(drawn.view, layout=layout, store=store, now_ms=middle_ms(drawn))
    assert report.n_entities == len({row.entity for row in drawn.rows})


def test_no_rows_at_all_write_nothing_but_the_mark(tmp_path):
    drawn, layout, store = world(), Layout(tmp_path), MemoryOnlineStore()
    write_table(layout.events(drawn.view.source), rows_table(drawn).slice(0, 0), epoch=4)
    tiles = tiles_of(drawn.view, drawn.rows).slice(0, 0)
    write_table(layout.tiles(drawn.view.name), tiles, epoch=4)
    report = materialise(drawn.view, layout=layout, store=store, now_ms=middle_ms(drawn))
    assert report.n_entities == 0
    assert list(store.values) == [covered_key(drawn.view.name)]
