"""What chaos found, in lines, and what was promised of it; rows as docs/chaos.md has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.chaos.batch import Live
from benchmarks.chaos.beside import LIMIT_MS, Beside, Held
from benchmarks.chaos.crowd import Crowd
from benchmarks.chaos.faults import Figures
from benchmarks.chaos.kills import Kills
from benchmarks.chaos.shipping import Shipped
from benchmarks.floors import Floor

ASKED_AT_LEAST = 2.9  # three times, less what a Poisson process misses its rate by
SHIPPED_LIMIT_S = 10.0
FAULTS, OTHERS, OVERLOAD = "faults", "others", "overload"
HEADS = {
    FAULTS: (
        "| fault | answered | degraded, unlabelled of them | p50 / p99 / worst, ms "
        "| failures until left alone | whole again after |\n|---|---|---|---|---|---|"
    ),
    OTHERS: "| | measured | floor |\n|---|---|---|",
    OVERLOAD: "| | measured | floor |\n|---|---|---|",
}
"""Tables of docs/chaos.md, in order."""


@dataclass
class Report:
    """What was run, in lines, and what was promised.

    ``rows`` are those of the tables of docs/chaos.md, so that the page shows one run and no other.
    """

    lines: list[str] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in HEADS})
    figures: dict[str, object] = field(default_factory=dict)
    floors: list[Floor] = field(default_factory=list)

    def tell(
        self, name: str, line: str, figures: object, rows: Sequence[str] = (), table: str = OTHERS
    ) -> None:
        """Keep one fault's figures and print its line; ``rows`` are for a table of the page."""
        print(line, flush=True)
        self.lines.append(line)
        self.rows[table] += rows
        self.figures[name] = figures

    def hold(self, what: str, value: float | None, limit: float, *, is_ceiling: bool) -> None:
        """Keep one promise."""
        self.floors.append(Floor(what, value, limit, is_ceiling=is_ceiling))

    def fault(self, found: Figures) -> None:
        """Figures of a dependency's fault, and what was promised of it."""
        name = found.name
        self.tell(name, found.said, asdict(found), found.rows, FAULTS)
        self.hold(f"{name}: share answered", found.answered_share, 0.999, is_ceiling=False)
        self.hold(f"{name}: answers that do not say so", found.unlabelled, 0, is_ceiling=True)
        self.hold(f"{name}: p99, ms", found.p99_ms, 150, is_ceiling=True)
        self.hold(f"{name}: worst, ms", found.worst_ms, 500, is_ceiling=True)
        if found.failures_to_open is not None:
            self.hold(f"{name}: failures to open", found.failures_to_open, 20, is_ceiling=True)
        self.hold(f"{name}: s until whole again", found.closed_ms / 1_000, 10, is_ceiling=True)

    def aged(self, found: Figures) -> None:
        """Figures of a folder that died: of every rung that age alone leads to, some answers."""
        self.fault(found)
        for level in ("stale", "fallback"):
            n = found.levels.get(level, 0)
            self.hold(f"{found.name}: answers at {level}", n, 1, is_ceiling=False)

    def kills(self, found: Kills) -> None:
        """What kills left."""
        self.tell("kills", found.said, asdict(found), found.rows)
        self.hold("kills: answers missing from the log", found.missing, 0, is_ceiling=True)
        self.hold("kills: segments unreadable", found.unreadable, 0, is_ceiling=True)
        self.hold("kills: answers looked at", found.answered, 100, is_ceiling=False)

    def shipped(self, found: Shipped) -> None:
        """How soon records were where another machine finds them."""
        self.tell("shipped", found.said, asdict(found), found.rows)
        self.hold("shipped: worst s to shared storage", found.worst_s, SHIPPED_LIMIT_S,
                  is_ceiling=True)  # fmt: skip
        self.hold("shipped: records that never came", found.missing, 0, is_ceiling=True)
        self.hold("shipped: records looked at", found.records, 1_000, is_ceiling=False)

    def live(self, found: Live) -> None:
        """What batch beside events left."""
        self.tell("batch", found.said, asdict(found), found.rows)
        under, rest, events = found.under_load, found.at_rest, found.events
        self.hold("batch: acknowledged events not in the table", events.missing, 0, is_ceiling=True)
        self.hold("batch: events that are in the table twice", events.doubled, 0, is_ceiling=True)
        self.hold("batch: values served meanwhile, not the oracle's", under.wrong, 0,
                  is_ceiling=True)  # fmt: skip
        self.hold("batch: values at rest, not the oracle's", rest.wrong, 0, is_ceiling=True)
        at_least = {
            "events acknowledged": (events.acknowledged, 2_000),
            "reads looked at under load": (under.reads, 500),
            "reads looked at at rest": (rest.reads, 500),
            "rounds": (found.rounds, 4),
            "kills": (found.kills, 5),
        }
        for what, (value, limit) in at_least.items():
            self.hold(f"batch: {what}", value, limit, is_ceiling=False)

    def crowd(self, found: Crowd) -> None:
        """What a crowd met."""
        self.tell("overload", found.said, asdict(found), found.rows, OVERLOAD)
        self.hold("overload: asked, of the peak", found.times, ASKED_AT_LEAST, is_ceiling=False)
        self.hold("overload: goodput, of the peak", found.share, 0.8, is_ceiling=False)
        self.hold("overload: accepted p99, ms", found.accepted_p99_ms, 100, is_ceiling=True)
        self.hold("overload: refused p99, ms", found.refused_p99_ms, 10, is_ceiling=True)
        self.hold("overload: refused without Retry-After", found.no_retry, 0, is_ceiling=True)
        self.hold("overload: neither answered nor refused", found.lost, 0, is_ceiling=True)
        self.hold("overload: health that failed", found.watched_failed, 0, is_ceiling=True)

    def shadows(self, found: Mapping[str, Beside]) -> None:
        """What shadows cost beside a champion, held to turns without one."""
        held = Held(found)
        for each in held.shadows:
            name = f"shadow {each.name}"
            self.tell(name, held.said(each), held.figures(each), [held.row(each)])
            self.hold(f"{name}: p99 moved, ms", held.moved[each.name].ms, LIMIT_MS,
                      is_ceiling=True)  # fmt: skip
            self.hold(f"{name}: errors", each.errors, 0, is_ceiling=True)
            self.hold(f"{name}: {each.proof}", each.proven, each.proven_at_least, is_ceiling=False)
        itself = held.itself._asdict()
        self.tell("shadow none", held.said_of_itself, itself, [held.row_of_itself])
        self.hold("shadow none: errors", held.alone.errors, 0, is_ceiling=True)

    def written(self, target: Path) -> list[str]:
        """Print rows and floors, write everything to ``target``; the floors that were missed."""
        print("\nfor docs/chaos.md:")
        for name, rows in self.rows.items():
            if rows:
                print("", HEADS[name], *rows, sep="\n")
        print()
        for floor in self.floors:
            print(floor.line())
        floors = [{**asdict(floor), "is_met": floor.is_met} for floor in self.floors]
        found = {"figures": self.figures, "rows": self.rows, "floors": floors}
        target.write_text(json.dumps(found, indent=2))
        print(f"\nwritten: {target}")
        return [floor.what for floor in self.floors if not floor.is_met]
