"""``ingest``: land a file as an epoch of a source's log, and bring the table up to the log."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.clock import SECOND_MS
from core.contracts import Source
from core.errors import InvalidInputError, PlatformError
from core.features.windows import parse_duration
from core.mapping import Mapping as FieldsMapping
from core.mapping import check_target
from core.nearest import or_near
from core.rows.event_versions import spoken
from core.use_case import UseCase
from orchestration.shell import Shell
from stores.log.epochs import Epoch
from stores.log.landing import landing_files
from stores.log.mapping_files import load_mapping
from stores.log.source_log import Landing, SourceLog

if TYPE_CHECKING:
    from orchestration.runs import Runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("source", help="name of the source, such as transactions")
    parser.add_argument("path", type=Path, help="Parquet, CSV or NDJSON file, or a folder of them")
    parser.add_argument("--map", type=Path, help="YAML that maps the file's columns to the fields")
    parser.add_argument(
        "--contract",
        metavar="MAJOR",
        help="contract that the rows keep; default the oldest that is declared (docs/contracts.md)",
    )
    parser.add_argument(
        "--historic",
        action="store_true",
        help="rows were available at their event time plus --delay, not now",
    )
    parser.add_argument("--delay", default="0s", help="with --historic; 0s, 5m, 7d")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Land the file, then run the source's ingest job."""
    from use_cases import discover

    present = source_called(arguments.source, discover(shell.settings.use_case_packages))
    source = spoken(present, arguments.contract, shell.clock.now_ms()).source
    mapping = mapping_of(arguments.map, source)
    delay_ms = _delay_ms(arguments)
    for path in landing_files(arguments.path):
        landing = land(shell, source, path, mapping, arguments.historic, delay_ms)
        shell.say(_landed(path, landing, (arguments.historic, delay_ms)))
    from orchestration.runs import Runs

    with Runs(shell.settings, shell.say) as runs, shell.step(f"ingest {source.name}") as step:
        report = ingest(runs, source.name)
        step.detail = in_words(report)
    if report.get("rejected"):
        shell.next(f"throughline rejects list {source.name}, then throughline backfill")
    else:
        shell.next("throughline backfill, or let `throughline up` do it")
    return 0


def source_called(name: str, use_cases: Mapping[str, UseCase]) -> Source:
    """Source of a name; InvalidInputError naming those there are."""
    known = {s.name: s for use_case in use_cases.values() for s in use_case.sources}
    if name not in known:
        raise InvalidInputError(
            f"there is no source called {name[:60]!r}",
            found=f"sources {', '.join(sorted(known))}",
            remedy=or_near(name, known, "name one of these, or declare it in a use case"),
            code="unknown_source",
        )
    return known[name]


def mapping_of(path: Path | None, source: Source) -> FieldsMapping | None:
    """Mapping in a file, found to fill the contract of ``source``; None without a file."""
    if path is None:
        return None
    mapping = load_mapping(path)
    check_target(mapping, source)
    return mapping


def land(
    shell: Shell,
    source: Source,
    path: Path,
    mapping: FieldsMapping | None,
    is_historic: bool,  # noqa: FBT001 - passed on as it came
    delay_ms: int,
) -> Landing:
    """The file as a sealed epoch; the same content again changes nothing.

    Raises
    ------
    PlatformError
        If the log does not take it; the message begins with the name of the file.
    """
    log = SourceLog(shell.settings.layout.log_dir(source.name), source.name)
    try:
        return log.land(
            path,
            mapping,
            now_ms=shell.clock.now_ms(),
            is_historic=is_historic,
            delay_ms=delay_ms,
            contract=source,
        )
    except PlatformError as error:
        raise type(error)(
            f"{path.name}: {error.wrong}",
            found=error.found,
            remedy=error.remedy,
            code=error.code,
        ) from None


def ingest(runs: "Runs", source: str) -> dict[str, Any]:
    """Run a source's ingest job; its report, empty when there was nothing to take."""
    from orchestration.ingest import ingest_name

    report: dict[str, Any] = runs.job(ingest_name(source)).only_output or {}
    return report


def in_words(report: dict[str, Any]) -> str:
    """A report of ingest as a line."""
    if not report:
        return "nothing new"
    refused = sum(report["rejected"].values())
    codes = ", ".join(f"{code} {n:,}" for code, n in sorted(report["rejected"].items()))
    return (
        f"{report['accepted']:,} rows on {len(report['touched'])} dates, "
        f"{report['duplicates']:,} duplicates, {refused:,} rejected"
        + (f" ({codes})" if codes else "")
    )


def _landed(path: Path, landing: Landing, asked: tuple[bool, int]) -> str:
    rows = f"{landing.epoch.rows:,} rows" if landing.epoch.rows is not None else "rows not counted"
    if not landing.is_new:
        is_as_asked = asked == (landing.epoch.is_historic, landing.epoch.delay_ms)
        how = "" if is_as_asked else f", {_availability(landing.epoch)}: its rows stay as they are"
        return f"  {path.name}: already epoch {landing.epoch.epoch}{how}; nothing is landed twice"
    return f"  {path.name}: epoch {landing.epoch.epoch}, {rows}"


def _availability(epoch: Epoch) -> str:
    if not epoch.is_historic:
        return "landed without --historic"
    return f"landed with --historic --delay {epoch.delay_ms // SECOND_MS}s"


def _delay_ms(arguments: argparse.Namespace) -> int:
    if arguments.delay in {"0", "0s"}:
        return 0
    delay_ms = parse_duration(arguments.delay)
    if not arguments.historic:
        raise InvalidInputError(
            "--delay is for history only",
            found=f"--delay {arguments.delay} without --historic",
            remedy="add --historic, or leave --delay out",
        )
    return delay_ms
