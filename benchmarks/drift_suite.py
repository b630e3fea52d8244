"""Drift of a wide table against Evidently, each case in a process of its own, on the same rows."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.drift import COLUMNS, FULL_ROWS, prepared
from benchmarks.floors import Floor, Section, ratio
from benchmarks.measure import Measurement, measure
from benchmarks.peers import environment_of

STREAMED = 10 * FULL_ROWS
LIMIT_S = 600.0
STREAM_LIMIT_S = 30.0
EQUAL_WITHIN = 1e-9
METHODS = ("psi", "ks")
PEER_SCRIPT = Path(__file__).parent / "peers" / "evidently_drift.py"


def _case(name: str, case: str, folder: Path, *more: str) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.drift", case, str(folder), *more]
    return measure(name, command, timeout_s=LIMIT_S)


def _peer(method: str, folder: Path) -> Measurement:
    python = environment_of("evidently", "evidently==0.7.23", "pandas<3", "pyarrow")
    command = [str(python), str(PEER_SCRIPT), method, str(folder)]
    quiet = {"DO_NOT_TRACK": "1"}
    return measure(f"Evidently, {method}", command, timeout_s=LIMIT_S, environment=quiet)


def run(home: Path, *, is_small: bool) -> Section:
    """All cases; ``is_small`` takes a tenth of the rows."""
    rows, streamed = (n // 10 if is_small else n for n in (FULL_ROWS, STREAMED))
    section = Section(f"Drift: {rows:,} rows x {COLUMNS} columns on either side")
    folder = prepared(home, rows)
    ours = section.add(_case("ours, all numbers", "ours", folder))
    peers = {method: section.add(_peer(method, folder)) for method in METHODS}
    section.floors += [
        Floor("Evidently, psi and ks / ours", _together(peers, ours), 50),
        Floor("largest difference of a PSI", _psi_apart(ours, peers["psi"]), EQUAL_WITHIN, True),
        Floor("columns with KS outside of its bounds", _outside(ours, peers["ks"]), 0, True),
    ]
    _streamed(section, folder, streamed)
    section.notes += [_alone(method, peer, ours) for method, peer in peers.items()]
    if not ours.failure:
        section.notes += [
            f"a day against a stored reference: {ours.result['current_s']:.2f} s",
            f"KS is known within {ours.result['worst_error']:.4f} in the worst column",
        ]
    return section


def _together(peers: dict[str, Measurement], ours: Measurement) -> float | None:
    if ours.failure or any(peer.failure for peer in peers.values()):
        return None
    return sum(peer.seconds for peer in peers.values()) / ours.seconds


def _alone(method: str, peer: Measurement, ours: Measurement) -> str:
    """What one report takes; CPU seconds say more than the clock where others work beside."""
    value = ratio(peer, ours)
    if value is None or not (peer.cpu_s and ours.cpu_s):
        return f"Evidently, {method} alone / ours: not measured"
    return f"Evidently, {method} alone / ours: {value:.1f}, CPU {peer.cpu_s / ours.cpu_s:.1f}"


def _psi_apart(ours: Measurement, peer: Measurement) -> float | None:
    if ours.failure or peer.failure or set(peer.result["values"]) != set(ours.result["psi"]):
        return None
    apart = [abs(ours.result["psi"][name] - psi) for name, psi in peer.result["values"].items()]
    return float(max(apart))


def _outside(ours: Measurement, peer: Measurement) -> float | None:
    if ours.failure or peer.failure:
        return None
    bounds = ours.result["kolmogorov"]
    exact = peer.result["exact"]
    rounding = 1e-12
    return float(
        sum(
            not low - rounding <= exact[name] <= high + rounding
            for name, (low, high) in bounds.items()
        )
    )


def _streamed(section: Section, folder: Path, rows: int) -> None:
    """Seconds of the whole, and memory that does not grow with the rows."""
    tenth = section.add(_case("ours, a tenth of the rows", "stream", folder, str(rows // 10)))
    whole = section.add(_case("ours, profile in a stream", "stream", folder, str(rows)))
    seconds = whole.finished_s
    growth = None
    if not (tenth.failure or whole.failure):
        growth = whole.peak_rss_mb / tenth.peak_rss_mb
    section.floors += [
        Floor(f"seconds for {rows:,} x {COLUMNS}", seconds, STREAM_LIMIT_S, True),
        Floor("memory, ten times the rows / a tenth", growth, 1.2, True),
    ]
