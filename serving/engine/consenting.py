"""Consent: what the service does with a request about somebody who opted out.

The last word of a subject is an attribute of theirs, folded from the source's log like any other,
so it is there a moment after it came, after a restart, and in the record.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from core.consent import NOT_KNOWN, OPTED_OUT, Asked
from core.degradation import MISSING, WITHHELD, Lapse
from core.packed_records import STATUSES
from serving.engine.readings import Readings


class Consenting:
    """Withholds the views of those who opted out, as a release declares."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    def followed(
        self, readings: Readings, lapses: list[Lapse | None] | None
    ) -> tuple[Readings, list[Lapse | None] | None]:
        """Readings and lapses of points, those of subjects who opted out without their views.

        Whose word could not be read, or is too old to be used by the limit that the ladder has for
        its view, is treated as if he had.
        """
        found: list[Lapse | None] = [None] * len(readings)
        if lapses is not None:
            found = [*lapses]
        view, place, _, _ = self.asked
        row = readings.rows.of_values[readings.rows.places[view]].start + place
        words = readings.numbers[row].tolist()
        withheld: list[Collection[str]] = [()] * len(found)
        is_any = False
        for point, word in enumerate(words):
            because = self._said(word, found[point])
            if because:
                withheld[point] = self._read(readings, point)
                found[point] = self._lapse(found[point], because)
                is_any = True
        return (readings.without(withheld, WITHHELD), found) if is_any else (readings, lapses)

    def _said(self, word: float, lapse: Lapse | None) -> str:
        """Why a subject's views are withheld; nothing where they are not."""
        if lapse is not None and self.asked.view in lapse.missing:
            return NOT_KNOWN
        return OPTED_OUT if word and not math.isnan(word) else ""

    def _read(self, readings: Readings, point: int) -> list[str]:
        """Views to be withheld that are not missing anyway."""
        places = readings.rows.places
        return [
            view
            for view in self.asked.withheld
            if STATUSES[readings.statuses[places[view], point]] not in MISSING
        ]

    def _lapse(self, lapse: Lapse | None, because: str) -> Lapse:
        if lapse is None:
            return Lapse(self.asked.withheld, because, is_unscored=self.asked.is_unscored)
        missing = lapse.missing | self.asked.withheld
        because = f"{lapse.because}; {because}"
        return Lapse(missing, because, is_unscored=self.asked.is_unscored)
