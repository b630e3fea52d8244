"""Point-in-time join against Feast's own stores, each case in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.data import with_peer_features, written
from benchmarks.floors import Floor, Section, ratio
from benchmarks.measure import Measurement, measure
from benchmarks.peers import environment_of

FULL = (10_000_000, 1_000_000)
PEER_SIZES = ((2_000_000, 200_000), (1_000_000, 100_000), (300_000, 30_000), (100_000, 10_000))
LIMIT_S = 420.0
PEER_SCRIPT = Path(__file__).parent / "peers" / "feast_point_in_time.py"


def _case(case: str, folder: Path) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.point_in_time", case, str(folder)]
    return measure(f"ours, {case}, {folder.name}", command, timeout_s=LIMIT_S)


def _peer(engine: str, folder: Path) -> Measurement:
    python = environment_of("feast", "feast[duckdb]==0.67.0", "pyspark==4.2.0")
    command = [str(python), str(PEER_SCRIPT), engine, str(folder)]
    return measure(f"Feast {engine}, {folder.name}", command, timeout_s=LIMIT_S)


def _against(section: Section, engine: str, case: str, limit: float, home: Path) -> None:
    """The peer at the largest size that it finishes, ours at the same size."""
    for rows, points in PEER_SIZES:
        folder = with_peer_features(written(home, rows, points))
        peer = section.add(_peer(engine, folder))
        if not peer.failure:
            ours = section.add(_case(case, folder))
            what = f"Feast {engine} / ours ({case}) at {rows:,} x {points:,}"
            section.floors.append(Floor(what, ratio(peer, ours), limit))
            return
    section.floors.append(Floor(f"Feast {engine} finished nothing", None, limit))


def run(home: Path, *, is_small: bool) -> Section:
    """All cases; ``is_small`` runs ours at a tenth."""
    rows, points = (n // 10 for n in FULL) if is_small else FULL
    section = Section("Point in time: 12 window features and one attribute (rows x points)")
    full, half = written(home, rows, points), written(home, rows // 2, points // 2)
    for case in ("in_process", "spark"):
        whole, part = section.add(_case(case, full)), section.add(_case(case, half))
        what = f"doubling rows, {case}"
        section.floors.append(Floor(what, ratio(whole, part), 2.3, is_ceiling=True))
    _against(section, "spark", "spark", 10, home)
    _against(section, "duckdb", "in_process", 3, home)
    section.notes.append(
        "peers are given the twelve windows ready-made and only join them; ours computes them"
    )
    return section
