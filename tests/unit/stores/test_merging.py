"""The compiled merge against the oracle and, bit by bit, against the reader in Python."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import base_of, bases
from compiled_merge import CompiledRead, built, compiler_or_skip, read_in_python
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryOnlineStore
from online_replay import Replay
from worlds import Mismatch, World, worlds

from core.errors import ConfigurationError, IntegrityError, InvalidInputError
from core.features import blob
from core.features.fold import FoldEvent, fold
from core.features.merge_program import FUNCTIONS, program_of
from core.features.partials import RawRow
from core.features.plan import ViewPlan, WindowFeature
from core.features.reading import ViewReading
from stores import merging
from stores.merging import build, library_path, loaded

SEED, N_WORLDS, N_POINTS = 23, examples(90), 25
MINUTE, NOW = 60_000, 50 * 60_000
ANSWERS = "base, delta, at_ms, first_ms"


@cache
def known_worlds() -> tuple[World, ...]:
    """Worlds without the functions that compiled code leaves to Python."""
    found = []
    for world in worlds(SEED, N_WORLDS, n_points=N_POINTS):
        windows = tuple(w for w in world.view.windows if w.function in FUNCTIONS)
        if windows or world.view.attributes:
            found.append(replace(world, view=world.view.model_copy(update={"windows": windows})))
    return tuple(found)


@cache
def bases_of(number: int, epoch: int, head_ms: int) -> dict[bytes, bytes]:
    """What batch writes of a world, whichever library reads it."""
    world = known_worlds()[number]
    return bases(world.view, world.rows, epoch=epoch, head_ms=head_ms)


def replays(read: Any) -> Iterator[Replay]:
    for number, world in enumerate(known_worlds()):
        rng = np.random.default_rng([SEED, number])

        def bases_here(*, epoch: int, head_ms: int, number: int = number) -> dict[bytes, bytes]:
            return bases_of(number, epoch, head_ms)

        yield Replay(world, MemoryOnlineStore(), rng, read=read, bases=bases_here)


class OtherBitsError(Exception):
    """The compiled merge said what the reader in Python does not."""


def as_python(compiled: CompiledRead) -> Any:
    """The compiled read, held to the reader in Python."""

    def both(view: ViewPlan, base: bytes | None, delta: bytes | None, at_ms: int) -> ViewReading:
        found = compiled(view, base, delta, at_ms)
        if repr(found) != repr(read_in_python(view, base, delta, at_ms)):
            raise OtherBitsError
        return found

    return both


def test_it_equals_the_oracle_and_the_reader_in_python_to_the_last_bit():
    compiled, n_points = CompiledRead(built()), 0
    mismatches: list[Mismatch] = []
    for replay in replays(as_python(compiled)):
        comparison = replay.run()
        n_points += comparison.n_points
        mismatches += comparison.mismatches

    assert mismatches == []
    assert n_points > examples(1_500)
    assert compiled.n_in_python < 0.05 * n_points  # ties; all else it answered itself


AT_T = "end = bisect(block->at, block->n, at_ms, {})"
FROM_START = "start = bisect(block->at, block->n, start_ms, 0)"
IN_FORCE = "bisect(part->rows.at, part->rows.n, at_ms, 1)"
MUTANTS = {
    "the_start_of_a_window_is_rounded_up": ("? q - 1 : q", "? q : q"),
    "a_row_at_t_counts": (AT_T.format(0), AT_T.format(1)),
    "rows_before_the_window_count": (FROM_START, "start = 0"),
    "the_first_tile_is_left_out": ("4 * middle) < step", "4 * middle) <= step"),
    "covered_epochs_count_twice": ("parts[1].covered = parts[0].epoch", "parts[1].covered = -1"),
    "covered_epochs_end_one_early": ("4 * k) > part->covered", "4 * k) >= part->covered"),
    "nulls_count": ("total += valid(in, span, f[F_CELL])[k]", "total += 1"),
    "lower_halves_are_lost": ("f64(field(span, f[F_FIELD] + 8) + 8 * k)", "0.0 * (double)k"),
    "a_future_attribute_is_in_force": (IN_FORCE, "part->rows.n"),
    "the_older_attribute_wins": ("event_ms > best) {", "event_ms < best) {"),
    "ttl_ends_one_early": ("age_ms > p[P_TTL]", "age_ms >= p[P_TTL]"),
    "registers_keep_the_last_rank": ("if (at[1] > registers[at[0]])", "if (at[1])"),
    "ranks_are_one_off": ("(__builtin_clzll(rest) - 8 + 1)", "(__builtin_clzll(rest) - 8)"),
    "floats_are_hashed_as_integers": ("if (f[F_IS_FLOAT]) { /*", "if (0) { /*"),
    "whole_extremes_are_swapped": ("(is_least ? v < best", "(!is_least ? v < best"),
    "float_extremes_are_swapped": ("(met->is_least ? v", "(!met->is_least ? v"),
}


def view_of(*functions: str, kind: str = "float64", window_ms: int = MINUTE) -> ViewPlan:
    return ViewPlan(
        name="v1",
        entity="card",
        join_keys=("card",),
        source="s",
        columns={"x": kind},
        windows=tuple(
            WindowFeature(name=f, function=f, column="x", window_ms=window_ms, grid_ms=MINUTE)
            for f in functions
        ),
    )


FLOATS = view_of("count", "sum", "mean", "min", "max", "count_distinct")
HOUR = view_of("count_distinct", kind="int64", window_ms=60 * MINUTE)
WHOLE = view_of("count", "sum", "mean", "min", "max", "count_distinct", kind="int64")


def agree(view: ViewPlan, base: bytes | None, delta: bytes | None, at_ms: int) -> CompiledRead:
    """Compiled and Python answer alike, or both refuse alike."""
    compiled = CompiledRead(built())
    assert said(compiled, view, base, delta, at_ms) == said(
        read_in_python, view, base, delta, at_ms
    )
    return compiled


def said(read: Any, *asked: Any) -> str:
    try:
        return repr(read(*asked))
    except (IntegrityError, InvalidInputError) as error:
        return f"{error.code}: {error}"


def based(view: ViewPlan, cells: list[Any]) -> bytes:
    rows = [RawRow(n, 0, b"", 0, (cell,)) for n, cell in enumerate(cells)]
    return base_of(view, rows, epoch=1, head_ms=0)


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=40))
def test_any_floats_add_up_to_the_same_bits(cells: list[float | None]):
    agree(FLOATS, based(FLOATS, cells), None, 1_000)


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_any_integers_add_up_to_the_same_bits(cells: list[int | None]):
    compiled = agree(WHOLE, based(WHOLE, cells), None, 1_000)

    assert compiled.n_in_python == 0


@pytest.mark.parametrize(
    "cells",
    [
        [1e16, 1.0, -1e16],
        [1.0, 2.0**-53, 2.0**-106],  # half way, and what lies below decides
        [1.0, 2.0**-53, -(2.0**-106)],
        [-0.0, 0.0],
        [0.0, -0.0],
        [1.7e308, 1.7e308, -1.7e308],
        [float(10.0**n) for n in range(-300, 300, 7)],
        [2.0**n for n in range(-1_000, 1_000, 60)],
    ],
)
def test_hard_sums_have_the_same_bits(cells: list[float]):
    agree(FLOATS, based(FLOATS, cells), None, 1_000)


def a_delta(view: ViewPlan = WHOLE, n: int = 90) -> bytes:
    events = [FoldEvent(2, k, f"e{k}", k * NOW // n, k * NOW // n, {"x": k}) for k in range(n)]
    return fold(view, None, events, now_ms=NOW, base_epoch=-1)


# What worlds of some dozen rows hardly meet: registers that collide, and two zeros.
HARD = [
    (HOUR, None, a_delta(HOUR, 2_000), NOW),
    (FLOATS, based(FLOATS, [-0.0, 0.0]), None, 1_000),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_merge_is_caught(name: str):
    wrong = as_python(CompiledRead(built(*MUTANTS[name])))

    assert any(differs(replay.run) for replay in replays(wrong)) or any(
        differs(partial(wrong, *case)) for case in HARD
    )


def differs(read: Callable[[], object]) -> bool:
    try:
        read()
    except OtherBitsError:
        return True
    return False


def test_a_point_that_is_too_old_is_refused_as_python_refuses_it():
    compiled = agree(WHOLE, based(WHOLE, [1]), None, -1)
    with pytest.raises(InvalidInputError) as caught:
        compiled(WHOLE, None, a_delta(), NOW, NOW + 1)
    assert caught.value.code == "at_too_old"


def test_a_position_is_that_of_the_last_epoch_that_base_does_not_cover():
    for epoch in (1, 2, 3):
        base = base_of(WHOLE, [], epoch=epoch, head_ms=0)
        assert agree(WHOLE, base, a_delta(), NOW).n_in_python == 0


@pytest.mark.parametrize("which", [0, 1])
def test_bytes_that_are_not_whole_are_refused_as_python_refuses_them(which: int):
    data = [based(WHOLE, [1, 2, None]), a_delta()][which]
    for place in range(len(data)):
        for broken in (data[:place], _flipped(data, place)):
            base, delta = (None, broken) if which else (broken, None)
            assert agree(WHOLE, base, delta, NOW).n_in_python == 1


def _flipped(data: bytes, place: int) -> bytes:
    flipped = bytearray(data)
    flipped[place] ^= 1 << (place % 8)
    return bytes(flipped)


def test_forged_counts_and_lengths_under_a_right_checksum_read_nothing_beyond_the_bytes():
    data, rng = a_delta(), np.random.default_rng(5)
    compiled = CompiledRead(built())
    for _ in range(3_000):
        told = bytearray(data[:-4])
        at = int(rng.integers(12, len(told) - 8))
        struct.pack_into("<I", told, at, int(rng.choice([0, 1, 255, 2**16, 2**31, 2**32 - 1])))
        forged = bytes(told) + struct.pack("<I", zlib.crc32(told))
        try:
            compiled(WHOLE, None, forged, NOW)
        except (IntegrityError, InvalidInputError, IndexError, struct.error):
            continue  # Python was asked and refused
    assert 0 < compiled.n_in_python < compiled.n_read


def test_a_value_of_another_definition_or_kind_is_refused():
    other = WHOLE.model_copy(update={"windows": WHOLE.windows[:2]})
    compiled = CompiledRead(built())
    for asked in ((other, None, a_delta(), NOW), (WHOLE, a_delta(), None, NOW)):
        with pytest.raises(IntegrityError):
            compiled(*asked)


def test_a_view_with_a_function_it_does_not_know_is_python_s():
    view = view_of("count", "stddev")

    assert program_of(view) is None
    assert agree(view, based(view, [1.0, 3.0]), None, 1_000).n_in_python == 1


def test_the_name_of_a_library_tells_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = library_path()
    monkeypatch.setattr(merging, "FLAGS", (*merging.FLAGS, "-g"))

    assert library_path() != before
    assert merging.SOURCES in before.parents


def test_without_a_compiler_the_build_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="install gcc, or let Python merge"):
        build(merging.SOURCES, tmp_path / "merge.so")


def test_a_source_that_does_not_compile_leaves_no_library(tmp_path: Path):
    compiler_or_skip()
    (tmp_path / "merge.c").write_text("int broken(")
    with pytest.raises(ConfigurationError, match="cannot be compiled"):
        build(tmp_path, tmp_path / "out" / "merge.so")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_library_is_whole_and_can_be_loaded(tmp_path: Path):
    compiler_or_skip()
    build(merging.SOURCES, tmp_path / "merge.so")

    assert loaded(tmp_path / "merge.so").throughline_merge
    assert blob.KINDS == (0, 1)
