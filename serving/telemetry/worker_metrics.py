"""Metrics of all workers of one machine, whichever of them is asked.

Workers share a port, and who scrapes reaches one of them. So each leaves what it counts in a file
of its own, and the one that is asked adds those of the living others: every series has the label
``worker`` then, so that one that ends takes its own series with it and resets nobody's. The one
that is asked also leaves what it tells, so that whoever is asked next tells no less of it: a count
that goes back is taken for a restart. A single worker leaves nothing and has no label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

import msgspec
from prometheus_client import CollectorRegistry, Metric

from core.clock import Clock

PUBLISH_EVERY_S = 1.0
LIVING_MS = 5_000
"""A worker that left nothing for so long has ended, or hangs: its last counts are not given."""

_Sample = tuple[str, dict[str, str], float]
_Family = tuple[str, str, str, list[_Sample]]
_decoder = msgspec.json.Decoder(list[_Family])


class WorkerMetrics:
    """What this worker counts, beside what the others left.

    Parameters
    ----------
    directory
        Where the workers of this machine leave theirs; one folder a machine.
    worker
        What tells this worker from the others: its process id.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        directory: Path,
        clock: Clock,
        *,
        worker: str,
        n_workers: int,
    ) -> None:
        self._registry = registry
        self._directory = directory
        self._clock = clock
        self._worker = worker
        self._is_alone = n_workers == 1
        self._writing = Lock()  # what was counted first is left first

    def publish(self) -> None:
        """Leave what is counted, for the others. Blocking; a full disk costs a figure."""
        if not self._is_alone:
            self._left()

    def _left(self) -> list[_Family]:
        """What is counted, once it lies there for the others."""
        with self._writing:
            families: list[_Family] = [
                (f.name, f.documentation, f.type, [(s.name, s.labels, s.value) for s in f.samples])
                for f in self._registry.collect()
            ]
            with suppress(OSError):
                self._directory.mkdir(parents=True, exist_ok=True)
                written = self._directory / f".{self._worker}.tmp"
                written.write_bytes(msgspec.json.encode(families))
                written.replace(self._directory / f"{self._worker}.json")
                self._forget_dead()
        return families

    def close(self) -> None:
        """Take back what was left: who scrapes next sees the others only."""
        with suppress(OSError):
            (self._directory / f"{self._worker}.json").unlink(missing_ok=True)

    def families(self) -> Iterator[Metric]:
        """Families of all living workers, each once. Blocking."""
        if self._is_alone:
            yield from self._registry.collect()
            return
        merged: dict[str, Metric] = {}
        _merge(merged, self._left(), self._worker)
        for path in self._others():
            with suppress(OSError, msgspec.MsgspecError):  # it ended, or is just being written
                _merge(merged, _decoder.decode(path.read_bytes()), path.stem)
        yield from merged.values()

    def _others(self) -> list[Path]:
        if not self._directory.is_dir():
            return []
        found = sorted(self._directory.glob("*.json"))
        return [p for p in found if p.stem != self._worker and self._age_ms(p) < LIVING_MS]

    def _forget_dead(self) -> None:
        for path in self._directory.glob("*.json"):
            if path.stem != self._worker and self._age_ms(path) > 10 * LIVING_MS:
                path.unlink(missing_ok=True)

    def _age_ms(self, path: Path) -> float:
        with suppress(FileNotFoundError):
            return self._clock.now_ms() - path.stat().st_mtime_ns / 1_000_000
        return float("inf")


def _merge(merged: dict[str, Metric], families: Iterable[_Family], worker: str) -> None:
    for name, documentation, kind, samples in families:
        family = merged.get(name)
        if family is None:
            family = merged[name] = Metric(name, documentation, kind)
        for sample, labels, value in samples:
            family.add_sample(sample, {**labels, "worker": worker}, value)
