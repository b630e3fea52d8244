"""Consent: what the service does with a request about somebody who opted out.

The last word of a subject is an attribute of theirs, folded from the source's log like any other,
so it is there a moment after it came, after a restart, and in the record.
"""

from __future__ import annotations

import math

from core.consent import NOT_KNOWN, OPTED_OUT, Asked
from core.degradation import MISSING, WITHHELD, Lapse
from serving.engine.features import Reading


class Consenting:
    """Withholds the views of those who opted out, as a release declares."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    def followed(
        self, readings: list[Reading], lapses: list[Lapse | None] | None
    ) -> tuple[list[Reading], list[Lapse | None] | None]:
        """Readings and lapses of points, those of subjects who opted out without their views.

        Whose word could not be read, or is too old to be used by the limit that the ladder has for
        its view, is treated as if he had.
        """
        found: list[Lapse | None] = [None] * len(readings)
        if lapses is not None:
            found = [*lapses]
        out = [
            (place, because)
            for place, reading in enumerate(readings)
            if (because := self._said(reading, found[place]))
        ]
        if not out:
            return readings, lapses
        changed = [*readings]
        for place, because in out:
            changed[place] = self._without(readings[place])
            found[place] = self._lapse(found[place], because)
        return changed, found

    def _said(self, reading: Reading, lapse: Lapse | None) -> str:
        """Why a subject's views are withheld; nothing where they are not."""
        view, place, _, _ = self.asked
        if lapse is not None and view in lapse.missing:
            return NOT_KNOWN
        word = reading[view].values[place]
        return OPTED_OUT if word and not math.isnan(word) else ""

    def _without(self, reading: Reading) -> Reading:
        return {
            name: read._replace(values=(math.nan,) * len(read.values), status=WITHHELD)
            if name in self.asked.withheld and read.status not in MISSING
            else read
            for name, read in reading.items()
        }

    def _lapse(self, lapse: Lapse | None, because: str) -> Lapse:
        if lapse is None:
            return Lapse(self.asked.withheld, because, is_unscored=self.asked.is_unscored)
        missing = lapse.missing | self.asked.withheld
        because = f"{lapse.because}; {because}"
        return Lapse(missing, because, is_unscored=self.asked.is_unscored)
