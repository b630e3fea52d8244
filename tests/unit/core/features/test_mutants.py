"""The proof can fail: each mutant of the meaning is caught by the generated worlds.

Mutated oracles show that the worlds tell the mutants apart whichever host is asked;
mutated kernels show that the comparison of `test_kernel` would have caught the mistake.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest
import worlds
from kernel_mutants import KERNEL_MODULES, Mutant, kernel_values, mutated_module
from numpy.typing import NDArray
from world_arrays import to_arrays
from worlds import World

ORDER, PREFIX, SLIDES, DISTINCT, CELLS, KERNEL = KERNEL_MODULES
ORACLE = "core.features.oracle"

ORACLE_MUTANTS = (
    Mutant("t itself is in the window", ORACLE, "row.event_ms < at_ms", "row.event_ms <= at_ms"),
    Mutant("start is left out", ORACLE, "start_ms <= row.event_ms", "start_ms < row.event_ms"),
    Mutant(
        "start off the grid",
        ORACLE,
        "window_start_ms(at_ms, window.window_ms, window.grid_ms)",
        "at_ms - window.window_ms",
    ),
    Mutant(
        "start cut towards zero",
        ORACLE,
        "window_start_ms(at_ms, window.window_ms, window.grid_ms)",
        "int((at_ms - window.window_ms) / window.grid_ms) * window.grid_ms",
    ),
    Mutant("availability ignored", ORACLE, "return row.available_ms <= known.ms", "return True"),
    Mutant(
        "known one instant late",
        ORACLE,
        "row.available_ms <= known.ms",
        "row.available_ms < known.ms",
    ),
    Mutant(
        "tie by id the other way",
        ORACLE,
        "row.event_id.encode())",
        "bytes(255 - b for b in row.event_id.encode()))",
    ),
    Mutant(
        "tie by availability the other way",
        ORACLE,
        "row.available_ms, row.event_id",
        "-row.available_ms, row.event_id",
    ),
    Mutant("tie by id alone", ORACLE, "row.available_ms, row.event_id", "0, row.event_id"),
    Mutant(
        "nulls are values",
        ORACLE,
        "        if value is not None:\n            values",
        "        if True:\n            values",
    ),
    Mutant(
        "attribute at t left out",
        ORACLE,
        "if row.event_ms <= at_ms and",
        "if row.event_ms < at_ms and",
    ),
    Mutant("ttl one short", ORACLE, "row.event_ms <= ttl_ms", "row.event_ms < ttl_ms"),
    Mutant("ttl ignored", ORACLE, "and at_ms - row.event_ms <= ttl_ms", ""),
    Mutant("entity ignored", ORACLE, "row.entity == entity and ", ""),
)

KERNEL_MUTANTS = (
    Mutant(
        "t itself is in the window",
        KERNEL,
        "stop = _first_rows(timeline, points, points.time_ms)",
        "stop = _first_rows(timeline, points, points.time_ms + 1)",
    ),
    Mutant(
        "start is left out",
        KERNEL,
        "window_start_ms(points.time_ms,",
        "1 + window_start_ms(points.time_ms,",
    ),
    Mutant(
        "start off the grid",
        KERNEL,
        "points.time_ms, window_ms, grid_ms)",
        "points.time_ms, window_ms, 1)",
    ),
    Mutant(
        "attribute at t left out",
        KERNEL,
        "stop = _first_rows(timeline, points, points.time_ms + 1)",
        "stop = _first_rows(timeline, points, points.time_ms)",
    ),
    Mutant(
        "ttl one short", KERNEL, "points.time_ms - view.ttl_ms", "points.time_ms - view.ttl_ms + 1"
    ),
    Mutant(
        "tie broken the other way",
        KERNEL,
        "np.lexsort((ranks, runs))",
        "np.lexsort((-ranks, runs))",
    ),
    Mutant(
        "availability not moved with ties",
        KERNEL,
        "        timeline.known[places] =",
        "        _ =",
    ),
    Mutant("all rows settled", ORDER, "highest[middle] <= point_known[point]", "True"),
    Mutant("no running maximum", ORDER, "max(highest[row], highest[row - 1])", "highest[row]"),
    Mutant("rows of a group unsorted", ORDER, "time_ms[place - 1] > time:", "False:"),
    Mutant("null counted", PREFIX, "running[row] + valid[row]", "running[row] + 1"),
    Mutant("null added", PREFIX, "values[row] * valid[row]", "values[row]"),
    Mutant(
        "running totals: filter dropped",
        PREFIX,
        "if row_known[row] <= point_known[point]:",
        "if True:",
    ),
    Mutant(
        "last: filter dropped",
        PREFIX,
        "not (row_known[row] <= point_known[point] and valid[row])",
        "not valid[row]",
    ),
    Mutant(
        "last: nulls are values",
        PREFIX,
        "point_known[point] and valid[row])",
        "point_known[point])",
    ),
    Mutant(
        "slides: filter dropped", SLIDES, "row_known[row] <= known and valid[row]", "valid[row]", 2
    ),
    Mutant(
        "slides: known one late", SLIDES, "row_known[row] <= known", "row_known[row] < known", 2
    ),
    Mutant("slides: nulls are values", SLIDES, "known and valid[row]", "known", 2),
    Mutant(
        "sum: front keeps what left",
        SLIDES,
        "front_hi[first - base], front_lo[first - base]",
        "front_hi[0], front_lo[0]",
    ),
    Mutant("sum: back forgotten", SLIDES, "hi, lo = merge_pairs(hi, lo, back_hi, back_lo)", "pass"),
    Mutant("extreme: head not cut", SLIDES, "queue[head & (len(queue) - 1)] < first", "False"),
    Mutant("extreme: wrong one driven out", SLIDES, "& mask]] <= value", "& mask]] >= value"),
    Mutant("distinct: nothing expires", DISTINCT, "if oldest[register[row]] == row:", "if False:"),
    Mutant("distinct: filter dropped", DISTINCT, "row_known[row] <= known and ", ""),
    Mutant(
        "distinct: tail forgotten",
        DISTINCT,
        "_set_register(raised, numbers, register[row], rank[row])",
        "pass",
    ),
    Mutant(
        "nulls are values",
        CELLS,
        "gathered(self._column.valid, self._order)",
        "np.ones(len(self._order), np.bool_)",
    ),
    Mutant("stddev about zero twice", CELLS, "cell.pairs(feature.centre, 2)", "cell.pairs(0.0, 2)"),
)


@cache
def small_worlds() -> tuple[World, ...]:
    return tuple(worlds.worlds(20_260_102, 60))


@cache
def expected(index: int) -> dict[str, NDArray[np.float64]]:
    return small_worlds()[index].expected()


def is_caught(answers: Any) -> bool:
    """Whether some world, asked of ``answers(world)``, differs from the oracle."""
    return any(
        worlds.compare(expected(index), answers(world)).mismatches
        for index, world in enumerate(small_worlds())
    )


def as_column(answers: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if answer is None else float(answer) for answer in answers])


def kernel_answers(mutant: Mutant | None) -> Any:
    values = kernel_values(mutant)
    return lambda world: values(world.view, *to_arrays(world))


def test_plain_python_kernel_is_right() -> None:
    """Else a mutant would be caught for being plain Python."""
    assert not is_caught(kernel_answers(None))


@pytest.mark.parametrize("mutant", KERNEL_MUTANTS, ids=lambda m: m.name)
def test_mutated_kernel_is_caught(mutant: Mutant) -> None:
    assert is_caught(kernel_answers(mutant))


@pytest.mark.parametrize("mutant", ORACLE_MUTANTS, ids=lambda m: m.name)
def test_worlds_tell_a_mutated_meaning_apart(mutant: Mutant) -> None:
    oracle = mutated_module(mutant)

    def answers(world: World) -> dict[str, NDArray[np.float64]]:
        found = [
            oracle.view_values(world.view, world.rows, entity, at_ms, oracle.KnownAt(known_ms))
            for entity, at_ms, known_ms in world.points
        ]
        return {
            n: np.array([np.nan if f[n] is None else float(f[n]) for f in found])
            for n in world.view.feature_names
        }

    assert is_caught(answers)
