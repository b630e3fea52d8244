"""Gauges that are read when somebody asks: how far sources have come, what waits to be shipped.

They are of the home and not of one worker, so every worker gives the same. A source whose folder
has never spoken, and every source while the store is silent, is left out: an old number would
look like a good one. Alerts on absence (`infra/monitoring/alerts.yaml`) see that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from stores.layout import Layout
from stores.online.watermarks import Watermark


class Waiting(NamedTuple):
    """Sealed segments of one use case that are not in shared storage yet."""

    segments: int
    bytes: int
    oldest_ms: int | None

    def age_s(self, now_ms: int) -> float:
        """How long the oldest has waited, in seconds; 0 when none waits."""
        return 0.0 if self.oldest_ms is None else max(0, now_ms - self.oldest_ms) / 1_000


def waiting_segments(layout: Layout) -> dict[str, Waiting]:
    """What waits on this machine, by use case; those with records and nothing waiting included."""
    folder = layout.root / "records"
    found = sorted(path for path in folder.glob("*/")) if folder.is_dir() else []
    return {path.name: _waiting(path) for path in found}


def _waiting(directory: Path) -> Waiting:
    facts = []
    for path in directory.glob("*.sealed"):
        try:
            facts.append(path.stat())
        except FileNotFoundError:  # shipped meanwhile
            continue
    oldest = min((each.st_mtime_ns // 1_000_000 for each in facts), default=None)
    return Waiting(len(facts), sum(each.st_size for each in facts), oldest)


def home_families(
    now_ms: int,
    watermarks: Mapping[str, Watermark],
    waiting: Mapping[str, Waiting],
    *,
    is_shelf_bad: bool,
) -> list[Metric]:
    """Metric families of the home, as of ``now_ms``."""
    return [
        _gauge(
            "throughline_source_age_seconds",
            "How long ago all events of a source were known to be folded.",
            "source",
            {name: max(0, now_ms - m.available_ms) / 1_000 for name, m in watermarks.items()},
        ),
        _gauge(
            "throughline_folder_lag_seconds",
            "What the folder was behind a source's log when it last spoke.",
            "source",
            {n: max(0, m.written_at_ms - m.available_ms) / 1_000 for n, m in watermarks.items()},
        ),
        _gauge(
            "throughline_folder_silence_seconds",
            "How long ago the folder last spoke of a source.",
            "source",
            {name: max(0, now_ms - m.written_at_ms) / 1_000 for name, m in watermarks.items()},
        ),
        _gauge(
            "throughline_records_waiting_segments",
            "Sealed segments of records that are not in shared storage yet.",
            "use_case",
            {name: each.segments for name, each in waiting.items()},
        ),
        _gauge(
            "throughline_records_waiting_bytes",
            "Size of the segments that wait.",
            "use_case",
            {name: each.bytes for name, each in waiting.items()},
        ),
        _gauge(
            "throughline_records_waiting_age_seconds",
            "Age of the oldest segment that waits; 0 when none does.",
            "use_case",
            {name: each.age_s(now_ms) for name, each in waiting.items()},
        ),
        GaugeMetricFamily(
            "throughline_shelf_bad",
            "1 while something on the shelf cannot be followed; /readyz says what.",
            value=float(is_shelf_bad),
        ),
    ]


def _gauge(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


class Families:
    """Families as a collector, which is all that the text format is made of.

    Series that say when a counter was made are left out: nobody here reads them.
    """

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Families, each without its creation instants."""
        for family in self._families:
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family
