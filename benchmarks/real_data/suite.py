"""Real card transactions through ingest, training and serving.

``python -m benchmarks.real_data FILE``: runs the platform's own commands on a home of its
own, as a user would, asks the service for the last day over HTTP, and doubts the result.
Prints a table and writes ``report.json`` below that home. What a former run of the same file
has done is taken as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from textwrap import shorten
from typing import Any

from assets.tables import partition_range
from benchmarks.real_data.commands import PROJECT, Platform, Stopwatch
from benchmarks.real_data.doubt import doubts
from benchmarks.real_data.file import check_usable, slice_of
from benchmarks.real_data.online import champion, late_examples, served
from benchmarks.real_data.scores import USE_CASE, batch_scores, in_words, judged, truth
from core.errors import InvalidInputError, NotReadyError
from orchestration import cli
from orchestration.ending import interrupt_on
from orchestration.shell import table
from stores.layout import Layout

DEFAULT_FILE = PROJECT.parent / "shared/data/transactions/handbook_2018-04-01_2018-07-24.parquet"
DEFAULT_HOME = PROJECT / ".throughline" / "real-data"
MAPPINGS = PROJECT / "use_cases" / USE_CASE / "mappings"
STATE, REPORT = "real-data.json", "report.json"
LAST_DAYS = 14
CUT_DAYS = 15  # after the last transaction: a week until its verdict, and a week to be sure
WHO = "real-data"
ROLES = ("risk", "owner")  # what a high risk tier takes
STEP_TIME = re.compile(r"^\d+\.\d s +")
SAID_WIDTH = 100


@dataclass
class Run:
    """What was done to one home, step by step; kept beside it so that a rerun goes on."""

    platform: Platform
    digest: str
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    def once(self, name: str, *words: str) -> None:
        """Run a command unless a former run of the same file has."""
        if name in self.done:
            print(f"\n$ throughline {' '.join(words)}\n  there already: {self.done[name]['said']}")
            return
        self.measured(name, lambda: self.platform.run(*words))

    def measured(self, name: str, work: Callable[[], str]) -> None:
        """Do a step, and keep its time and what it says of itself."""
        with Stopwatch() as watch:
            said = work()
        self.done[name] = {"seconds": round(watch.seconds, 1), "said": said}
        state = {"sha256": self.digest, "done": self.done}
        (self.platform.home / STATE).write_text(json.dumps(state, indent=1))

    @classmethod
    def of(cls, platform: Platform, file: Path) -> Run:
        """The run of a home; InvalidInputError when another file has filled it."""
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        platform.home.mkdir(parents=True, exist_ok=True)
        state = platform.home / STATE
        known: dict[str, Any] = {"sha256": digest, "done": {}}
        if state.is_file():
            known = json.loads(state.read_text())
        if known["sha256"] != digest:
            raise InvalidInputError(
                f"{platform.home} holds another file's rows",
                remedy="give --home DIR for this file, or --fresh to forget the other",
            )
        return cls(platform, digest, known["done"])


def batch_side(run: Run, file: Path, n_days: int) -> tuple[str, str]:
    """From the file to published scores; first and last date that were scored."""
    for source in ("transactions", "fraud_labels"):
        mapping = str(MAPPINGS / f"{source}.yaml")
        run.once(f"ingest {source}", "ingest", source, str(file), "--map", mapping, "--historic")
    run.once("tiles", "backfill")
    found = partition_range(Layout(run.platform.home).events("transactions"), "event_date")
    if found is None:
        raise NotReadyError(
            "no transaction was accepted", remedy="see `throughline rejects list transactions`"
        )
    last = date.fromisoformat(found[1])
    cut = (last + timedelta(days=CUT_DAYS)).isoformat()
    run.once("train", "train", USE_CASE, "--cut", cut)
    for role in ROLES:
        words = ("--role", role, "--who", f"{WHO}, {role}")
        run.once(f"approve as {role}", "approve", USE_CASE, "1", *words)
    first = (last - timedelta(days=n_days - 1)).isoformat()
    run.once("score", "score", USE_CASE, "--from", first, "--as-of", last.isoformat())
    return first, last.isoformat()


def online_side(run: Run, last: str, report: dict[str, Any]) -> None:
    """Online values as of the start of the last day, and that day asked over HTTP."""
    at = f"{last}T00:05:00Z"  # values answer from five minutes before their present on
    run.measured("materialise", lambda: run.platform.run("materialise", "--at", at))

    def ask() -> str:
        with run.platform.service() as address:
            report["online"] = served(run.platform, address, last)
        return str(report["online"]["said"])

    run.measured("serve", ask)


def whole(platform: Platform, file: Path, n_days: int, *, is_doubted: bool) -> dict[str, Any]:
    """Everything; the report."""
    run = Run.of(platform, file)
    layout = Layout(platform.home)
    report: dict[str, Any] = {"file": file.name, "sha256": run.digest, "steps": run.done}
    first, last = batch_side(run, file, n_days)
    refuse_seen(layout, first)
    report["dates"] = [first, last]
    report["batch"] = judged(batch_scores(layout, (first, last)), truth(layout)).report()
    print(f"\n{verdict(report)}", flush=True)
    online_side(run, last, report)
    if is_doubted:
        run.measured("doubt", lambda: doubts(layout, file, first, report))
    (platform.home / REPORT).write_text(json.dumps(report, indent=1))
    return report


def verdict(report: Mapping[str, Any]) -> str:
    """What all of it came to, as a line."""
    first, last = report["dates"]
    return f"batch, {first} to {last}: average precision {in_words(report['batch'])}"


def refuse_seen(layout: Layout, first: str) -> None:
    """Refuse a model that was fitted, stopped or calibrated on what it is judged on."""
    manifest = champion(layout)
    splits = late_examples(layout, manifest.snapshot_id, first, ["split"])["split"].to_pylist()
    if seen := sum(split != "test" for split in splits):
        raise InvalidInputError(
            f"the file is too short to judge its days from {first} on",
            found=f"{seen:,} of {len(splits):,} examples of theirs that the model has seen",
            remedy="give a longer file, or fewer --days",
        )


def steps_table(done: dict[str, dict[str, Any]]) -> str:
    """Steps with their times; what a long one said is cut, the report has all of it."""
    rows: list[tuple[str, ...]] = [("step", "seconds", "what it said")]
    for name, step in done.items():
        said = STEP_TIME.sub("", step["said"])
        rows.append((name, f"{step['seconds']:.1f}", shorten(said, SAID_WIDTH, placeholder=" ...")))
    return table(rows)


def main(words: Sequence[str] | None = None) -> int:
    """Entry; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_data", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="Parquet in the handbook's columns")
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="folder of all state")
    parser.add_argument("--fresh", action="store_true", help="forget what a former run has done")
    parser.add_argument("--days", type=int, default=LAST_DAYS, help="last days to be scored")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th terminal only")
    parser.add_argument("--no-doubt", action="store_true", help="without the search for leaks")
    arguments = parser.parse_args(words)
    interrupt_on(signal.SIGTERM)
    return cli.in_words(lambda: run_as_asked(arguments))


def run_as_asked(arguments: argparse.Namespace) -> int:
    """Look at the file, then do everything and say where it is."""
    file, home = named_file(arguments.file), arguments.home.resolve()
    check_usable(file)
    if arguments.fresh and (home / STATE).is_file():
        shutil.rmtree(home)
    if arguments.every > 1:
        file = slice_of(file, arguments.every, home / "slice.parquet")
    print(f"{file.name}: everything is done with --home {home}", flush=True)
    with Stopwatch() as watch:
        report = whole(Platform(home), file, arguments.days, is_doubted=not arguments.no_doubt)
    print("\n" + steps_table(report["steps"]))
    print(f"\n{verdict(report)}")
    print(f"written in {watch.seconds:.0f} s: {home / REPORT}")
    print(f"\nnext: throughline up --home {home}")
    return 0


def named_file(file: Path | None) -> Path:
    """The file that was named, else the one beside the project."""
    if file is None and not DEFAULT_FILE.is_file():
        raise InvalidInputError(
            "no file was named",
            found=f"none at {DEFAULT_FILE} either",
            remedy="make real-data FILE=PATH, a Parquet file of the Fraud Detection Handbook's "
            "raw transactions",
        )
    return (file or DEFAULT_FILE).expanduser().resolve()
