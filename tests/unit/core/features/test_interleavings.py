"""Base, delta and folder, whatever happens in whatever order.

Hypothesis draws lives of a small log: rows of two entities (prompt, late, dated in the
future, tied), sealed epochs, folds of any size, folders that crash between the writes of
two entities and read the log again from an earlier place, re-bases at any sealed epoch and
any head, finished or caught half way. After every step each entity is read at several
instants and compared with the oracle: over the rows that base and delta were given, and
over the log up to the position that the reading says it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from batches import bases, fold_event
from compiled_merge import CompiledRead, built
from example_counts import examples
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutants import mutant

from core.errors import InvalidInputError
from core.features import fold as fold_module
from core.features import reading as reading_module
from core.features.fold import YOUNG_MS, fold
from core.features.keys import entity_key, epoch_of, position
from core.features.merge_program import FUNCTIONS as COMPILED
from core.features.oracle import Row, SeenUpTo, view_values
from core.features.plan import AttributeFeature, ViewPlan, WindowFeature, WindowFunction
from core.features.reading import Status, ViewReading, read_view

START_MS = 1_780_000_000_000
ENTITIES = (entity_key(["1", "11"]), entity_key(["11", "1"]))
FUNCTIONS: tuple[WindowFunction, ...] = (
    "count", "sum", "mean", "min", "max", "last", "count_distinct", "stddev",
)  # fmt: skip


def window(function: WindowFunction, column: str, window_ms: int, grid_ms: int) -> WindowFeature:
    name = f"{column}_{function}_{window_ms}ms"
    return WindowFeature(
        name=name, function=function, column=column, window_ms=window_ms, grid_ms=grid_ms
    )


WINDOWS = ViewPlan(
    name="pair_v1",
    entity="pair",
    join_keys=("a", "b"),
    source="s",
    columns={"n": "int64", "x": "float64", "who": "string"},
    windows=(
        *(window(f, "n", 600_000, 30_000) for f in FUNCTIONS),
        *(window(f, "x", 7_200_000, 600_000) for f in FUNCTIONS),
        *(window(f, "who", 600_000, 30_000) for f in ("count", "count_distinct")),
        window("sum", "n", 300_000, 30_000),
    ),
)
ATTRIBUTES = ViewPlan(
    name="limits_v1",
    entity="pair",
    join_keys=("a", "b"),
    source="s",
    columns={"n": "int64", "x": "float64", "who": "string"},
    attributes=(
        AttributeFeature(name="n", column="n"),
        AttributeFeature(name="who", column="who", categories=("a", "b")),
    ),
    ttl_ms=400_000,
)

# --- what may happen ----------------------------------------------------------------------

# A row's event time, from now: at the edges of raw and tiles, of windows, of grids, of ttl.
DATED_MS = st.sampled_from(
    [
        *(0, 1, -1, 250_000, YOUNG_MS, -YOUNG_MS, -YOUNG_MS - 1, 1 - YOUNG_MS),
        *(-399_999, -400_000, -600_000, -630_000, -3_600_000, -7_200_000, -90_000_000),
    ]
)
VALUES = st.fixed_dictionaries(
    {
        "n": st.sampled_from([None, 0, 1, -7, 2**55]),
        "x": st.sampled_from([None, 0.1, -0.0, 1e12, -1e12, float("nan")]),
        "who": st.sampled_from([None, "a", "b", "zebra"]),
    }
)
ROW = st.tuples(st.just("row"), st.integers(0, 1), DATED_MS, st.sampled_from([0, 1, 5]), VALUES)
SEAL = st.tuples(st.just("seal"))
WAIT = st.tuples(st.just("wait"), st.sampled_from([1, 30_000, 299_999, YOUNG_MS, 3_600_000]))
FOLD = st.tuples(st.just("fold"), st.integers(1, 6))
CRASH = st.tuples(st.just("crash"), st.integers(0, 8))
REBASE = st.tuples(
    st.just("rebase"),
    st.integers(0, 2),
    st.sampled_from([0, 1, YOUNG_MS, 600_000, 3_700_000]),
    st.booleans(),
)
STEPS = st.one_of(ROW, ROW, ROW, ROW, ROW, FOLD, FOLD, SEAL, REBASE, CRASH, WAIT)
LIVES = st.lists(STEPS, min_size=20, max_size=60)


@dataclass
class Life:
    """A log, its folder, its batch and two entities' values, with what each value was given."""

    view: ViewPlan
    read: Callable[..., ViewReading] = read_view
    fold: Callable[..., bytes] = fold
    now_ms: int = START_MS
    epoch: int = 1
    log: list[Row] = field(default_factory=list)
    cursor: int = 0
    finished: int = -1
    head_ms: int | None = None
    base: dict[bytes, tuple[bytes, int, int]] = field(default_factory=dict)
    delta: dict[bytes, bytes] = field(default_factory=dict)
    folded: dict[bytes, int] = field(default_factory=dict)
    horizon: dict[bytes, int] = field(default_factory=dict)

    def do(self, step: Sequence[Any]) -> None:
        name, *arguments = step
        getattr(self, f"_{name}")(*arguments)

    def _row(self, who: int, dated_ms: int, delay_ms: int, values: dict[str, Any]) -> None:
        offset = sum(epoch_of(row.position) == self.epoch for row in self.log)
        event_ms = self.now_ms + dated_ms
        at = position(self.epoch, offset)
        # Ids fall as positions rise: ties are not broken by the order of arrival.
        event_id = f"e{1_000 - len(self.log)}"
        row = Row(event_id, ENTITIES[who], event_ms, self.now_ms - delay_ms, at, values)
        self.log.append(row)

    def _seal(self) -> None:
        self.epoch += 1

    def _wait(self, for_ms: int) -> None:
        self.now_ms += for_ms

    def _fold(self, n_events: int, n_writes: int = len(ENTITIES)) -> None:
        """Fold the next events; fewer writes than entities is a crash between them."""
        batch = self.log[self.cursor : self.cursor + n_events]
        self.cursor += len(batch)
        for entity in ENTITIES[:n_writes]:
            rows = [row for row in batch if row.entity == entity]
            if rows:
                self.delta[entity] = self.fold(
                    self.view,
                    self.delta.get(entity),
                    [fold_event(row) for row in rows],
                    now_ms=self.now_ms,
                    base_epoch=self.finished,
                )
                self.folded[entity] = max(self.folded.get(entity, -1), rows[-1].position)
                self.horizon[entity] = self.now_ms - YOUNG_MS

    def _crash(self, back: int) -> None:
        """Fold, write one entity only, die; the next folder starts from an earlier place."""
        start = self.cursor
        self._fold(4, n_writes=1)
        self.cursor = max(0, start - back)

    def _rebase(self, back: int, head_ms: int, is_finished: bool) -> None:
        """Cover a sealed epoch that no finished base covers less of; write one entity or all."""
        epoch = max(self.epoch - 1 - back, self.finished)
        if epoch < 1:
            return
        head_ms = self.now_ms - head_ms
        written = bases(self.view, self.log, epoch=epoch, head_ms=head_ms)
        for entity in ENTITIES if is_finished else ENTITIES[1:]:
            if entity in written and self.base.get(entity, (b"", -1, 0))[1] <= epoch:
                self.base[entity] = (written[entity], epoch, head_ms)
        if is_finished:
            self.finished, self.head_ms = epoch, head_ms

    def check(self) -> None:
        for entity in ENTITIES:
            for at_ms in self._instants(entity):
                self._compare(entity, at_ms)

    def _instants(self, entity: bytes) -> list[int]:
        first_ms = self.horizon.get(entity, self.now_ms - YOUNG_MS)
        first_ms = max(first_ms, self.head_ms or first_ms)
        if entity in self.base:
            first_ms = max(first_ms, self.base[entity][2])
        later = [self.now_ms, self.now_ms + YOUNG_MS]
        return sorted({first_ms, first_ms + 1, *(t for t in later if t > first_ms)})

    def _compare(self, entity: bytes, at_ms: int) -> None:
        base, covered, _ = self.base.get(entity, (None, -1, 0))
        found = self.read(self.view, base, self.delta.get(entity), at_ms, self.head_ms)
        folded = self.folded.get(entity, -1)
        own = [row for row in self.log if row.entity == entity]
        given_rows = [r for r in own if r.position <= folded or epoch_of(r.position) <= covered]
        seen_rows = [r for r in own if r.position <= found.seen_position]
        expected = view_values(self.view, given_rows, entity, at_ms, SeenUpTo(2**63))

        assert list(found.values) == [_as_float(value) for value in expected.values()]
        assert seen_rows == given_rows
        assert found.status in self._statuses(given_rows, at_ms)

    def _statuses(self, rows: Sequence[Row], at_ms: int) -> set[Status]:
        ages_ms = [at_ms - row.event_ms for row in rows]
        if self.view.windows:  # what fell out of every window may be remembered or not
            return (
                {"PRESENT", "NOT_FOUND"} if not ages_ms or min(ages_ms) > 7_200_000 else {"PRESENT"}
            )
        past_ms = [age_ms for age_ms in ages_ms if age_ms >= 0]
        if not past_ms:
            return {"missing"}
        return {"fresh"} if min(past_ms) <= 400_000 else {"stale"}


def _as_float(value: float | None) -> float | None:
    return None if value is None else float(value)


def live(view: ViewPlan, steps: Sequence[Any], **parts: Any) -> None:
    life = Life(view, **parts)
    life.check()
    for step in steps:
        life.do(step)
        if step[0] not in ("row", "seal"):  # which change nothing that is read
            life.check()


QUICK = settings(
    max_examples=examples(60),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.slow
@QUICK
@given(LIVES)
def test_windows_count_every_row_once_whatever_happens(steps: list[Any]):
    live(WINDOWS, steps)


@QUICK
@given(LIVES)
def test_attributes_are_those_of_the_row_in_force_whatever_happens(steps: list[Any]):
    live(ATTRIBUTES, steps)


KNOWN_WINDOWS = WINDOWS.model_copy(
    update={"windows": tuple(w for w in WINDOWS.windows if w.function in COMPILED)}
)


@pytest.mark.slow
@pytest.mark.parametrize("view", [KNOWN_WINDOWS, ATTRIBUTES], ids=["windows", "attributes"])
@QUICK
@given(steps=LIVES)
def test_the_compiled_merge_lives_through_all_of_it(view: ViewPlan, steps: list[Any]):
    read = CompiledRead(built())
    live(view, steps, read=read)
    assert read.n_in_python <= read.n_read // 2  # points too old, and ties


WRONG_READERS = {
    "head_not_cut": (WINDOWS, "bisect_left(events, at_ms, start)", "block.n"),
    "a_row_at_t_counts": (
        WINDOWS,
        "bisect_left(events, at_ms, start)",
        "bisect_right(events, at_ms, start)",
    ),
    "covered_epochs_count_twice": (
        WINDOWS,
        "opened = codec.beyond(opened, parts[0].opened.epoch)",
        "pass",
    ),
    "base_is_forgotten": (WINDOWS, "if base is not None:", "if base and not delta:"),
    "ttl_is_forgotten": (ATTRIBUTES, "if at_ms - row.event_ms > self._ttl_ms:", "if False:"),
}  # fmt: skip
WRONG_FOLDS = {
    "events_read_again_count_again": (WINDOWS, "event.offset <= seen", "event.offset < 0"),
    "a_row_at_the_horizon_is_tiled": (
        WINDOWS,
        "row.event_ms >= contents.horizon_ms",
        "row.event_ms > contents.horizon_ms",
    ),
    "the_horizon_moves_too_far": (
        WINDOWS,
        "max(contents.horizon_ms, now_ms - YOUNG_MS)",
        "max(contents.horizon_ms, now_ms)",
    ),
    "late_rows_are_dropped": (WINDOWS, "_add_to_tiles(program, contents, row)", "pass"),
    "later_rows_push_out_the_one_in_force": (
        ATTRIBUTES,
        "ordered[max(later - 1, 0) :]",
        "ordered[later:]",
    ),
    "the_future_is_forgotten": (
        ATTRIBUTES,
        "ordered[max(later - 1, 0) :]",
        "ordered[max(later - 1, 0) : later]",
    ),
}


@pytest.mark.parametrize("name", WRONG_READERS)
def test_a_wrong_reader_does_not_live(name: str):
    view, old, new = WRONG_READERS[name]
    wrong = mutant(reading_module, old, new)
    assert _is_caught(view, read=wrong.read_view)


@pytest.mark.parametrize("name", WRONG_FOLDS)
def test_a_wrong_fold_does_not_live(name: str):
    view, old, new = WRONG_FOLDS[name]
    wrong = mutant(fold_module, old, new)
    assert _is_caught(view, fold=wrong.fold)


def _is_caught(view: ViewPlan, **parts: Any) -> bool:
    @settings(QUICK, max_examples=300, phases=[Phase.generate], report_multiple_bugs=False)
    @given(LIVES)
    def all_lives(steps: list[Any]) -> None:
        live(view, steps, **parts)

    try:
        all_lives()
    except (AssertionError, InvalidInputError):  # a wrong value, or a point refused in vain
        return True
    return False
