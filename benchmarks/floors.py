"""A benchmark's section: its measurements, the ratios that were promised, and the table."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.measure import Measurement


@dataclass(frozen=True)
class Floor:
    """A promised ratio. ``is_ceiling`` when smaller is better."""

    what: str
    value: float | None
    limit: float
    is_ceiling: bool = False
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the measured ratio keeps the promise; a ratio not measured does not."""
        if self.value is None:
            return False
        return self.value <= self.limit if self.is_ceiling else self.value >= self.limit

    def line(self) -> str:
        """One line of the table."""
        verdict = "met" if self.is_met else "MISSED"
        sign = "<=" if self.is_ceiling else ">="
        value = "not measured" if self.value is None else f"{self.value:,.2f}"
        note = f"  ({self.note})" if self.note else ""
        return f"  {verdict:<7} {self.what}: {value} {sign} {self.limit:g}{note}"


@dataclass
class Section:
    """One benchmark: what was run and what was promised."""

    title: str
    measurements: list[Measurement] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, measurement: Measurement) -> Measurement:
        """Keep a measurement, print a line of progress, and give it back."""
        outcome = measurement.failure or f"{measurement.seconds:.2f} s"
        print(f"... {measurement.name}: {outcome}", flush=True)
        self.measurements.append(measurement)
        return measurement

    def table(self) -> str:
        """Readable text: a row a measurement, then the floors and the notes."""
        width = max(len(m.name) for m in self.measurements)
        head = f"  {'case':<{width}}  {'seconds':>9}  {'first':>9}  {'CPU s':>9}  {'peak RSS':>9}"
        lines = [f"\n{self.title}", head]
        for m in self.measurements:
            took = ["-" if s is None else f"{s:.2f}" for s in (m.finished_s, m.first_s, m.cpu_s)]
            times = "  ".join(f"{text:>9}" for text in took)
            about = m.failure or str(m.result.get("profile", ""))
            lines.append(f"  {m.name:<{width}}  {times}  {m.peak_rss_mb:>6.0f} MB  {about}")
        lines += [floor.line() for floor in self.floors]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def ratio(slow: Measurement, fast: Measurement) -> float | None:
    """How many times longer ``slow`` took; None when either has no result."""
    return None if slow.failure or fast.failure else slow.seconds / fast.seconds
