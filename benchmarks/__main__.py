"""All benchmarks: ``python -m benchmarks [SUITE ...] [--small]``.

Prints a table a benchmark and writes everything to ``.throughline/bench/results.json``; a run of
some writes ``results-<their names>.json`` beside it. Only ratios inside one run mean anything:
machines differ, and this one may be busy.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks import drift_suite, online_suite, point_in_time_suite, scoring_suite, tiles_suite
from benchmarks.events import suite as events_suite
from benchmarks.floors import Section

PROJECT = Path(__file__).parents[1]
SUITES: dict[str, Callable[..., Section]] = {
    "point_in_time": point_in_time_suite.run,
    "tiles": tiles_suite.run,
    "scoring": scoring_suite.run,
    "drift": drift_suite.run,
    "online": online_suite.run,
    "events": events_suite.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    of = f"of {', '.join(SUITES)}; all without"
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], metavar="SUITE", help=of)
    parser.add_argument("--small", action="store_true", help="a tenth of the size, to try it")
    arguments = parser.parse_args()
    folder = PROJECT / ".throughline" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    results: dict[str, object] = {"machine": machine}
    for name in arguments.suites or SUITES:
        section = SUITES[name](folder, is_small=arguments.small)
        print(section.table(), flush=True)
        results[name] = asdict(section)
    target = folder / f"{'-'.join(['results', *arguments.suites])}.json"
    target.write_text(json.dumps(results, indent=2))
    print(f"\nwritten: {target}")


if __name__ == "__main__":
    main()
