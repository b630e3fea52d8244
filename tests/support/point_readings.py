"""What was read for one point of a pass, as views by name: columns looked at across."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.packed_records import NONE, STATUSES
from serving.engine.readings import Readings
from stores.view_merging import SEEN


class ViewValues(NamedTuple):
    """What was read of one view; None for what is unknown, NaN for null."""

    values: Sequence[float]
    status: str
    age_ms: int | None
    seen: int | None
    source_age_ms: int | None


def seen_of(readings: Readings) -> NDArray[np.int64]:
    """Positions that were seen, as records take them: a row a view, as its other columns."""
    told = readings.told
    seen = told.numbers[SEEN * told.n_cells : (SEEN + 1) * told.n_cells]
    return np.array(seen, dtype=np.int64).reshape(readings.ages_ms.shape)


def reading_of(readings: Readings, place: int) -> dict[str, ViewValues]:
    """Views of one point."""
    return {
        name: ViewValues(
            readings.numbers[readings.rows.of_values[view], place].tolist(),
            STATUSES[readings.statuses[view, place]],
            *(
                None if column[view, place] == NONE else int(column[view, place])
                for column in (readings.ages_ms, seen_of(readings), readings.source_ages_ms)
            ),
        )
        for view, name in enumerate(readings.rows.names)
    }


def readings_of(readings: Readings) -> list[dict[str, ViewValues]]:
    """The same of every point, in order."""
    return [reading_of(readings, place) for place in range(len(readings))]
