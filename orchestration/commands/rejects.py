"""``rejects``: what a contract refused, and how to have it looked at again."""

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

from core.errors import InvalidInputError, NotReadyError
from orchestration.commands.ingest import in_words, ingest, source_called
from orchestration.shell import Shell, table

SHOWN = 20
WIDTH = 60
DATE = "event_date"
COLUMNS = ("epoch", "offset", "event_id", "code", "field", "message", "replayed_epoch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", choices=("list", "replay"))
    parser.add_argument("source")
    parser.add_argument("--code", action="append", default=[], help="only this code; repeatable")
    parser.add_argument("--epoch", action="append", type=int, default=[], help="only this epoch")
    parser.add_argument("--date", action="append", default=[], help="only this event date")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """List or replay."""
    from use_cases import discover

    source = source_called(arguments.source, discover(shell.settings.use_case_packages)).name
    if arguments.action == "list":
        return _list(arguments, shell, source)
    return _replay(arguments, shell, source)


def _list(arguments: argparse.Namespace, shell: Shell, source: str) -> int:
    chosen = [row for row in _refused(shell, source) if _is_chosen(row, arguments)]
    counts = Counter(row["code"] for row in chosen if row["replayed_epoch"] is None)
    if not chosen:
        shell.say(f"no refused records of {source}")
        return 0
    shell.say(table([("code", "open"), *((c, f"{n:,}") for c, n in counts.most_common())]))
    shell.say(f"\n  the first {min(SHOWN, len(chosen))} of {len(chosen):,}:")
    shell.say(table([COLUMNS, *(_cells(row) for row in chosen[:SHOWN])]))
    shell.next(f"throughline rejects replay {source} --code {chosen[0]['code']}")
    return 0


def _refused(shell: Shell, source: str) -> list[dict[str, Any]]:
    from assets.tables import is_table, read_columns

    uri = shell.settings.layout.rejected(source)
    return read_columns(uri, (*COLUMNS, DATE)).to_pylist() if is_table(uri) else []


def _is_chosen(row: Mapping[str, Any], arguments: argparse.Namespace) -> bool:
    by_code = not arguments.code or row["code"] in arguments.code
    by_epoch = not arguments.epoch or row["epoch"] in arguments.epoch
    return by_code and by_epoch and (not arguments.date or str(row[DATE]) in arguments.date)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple("" if row[name] is None else str(row[name])[:WIDTH] for name in COLUMNS)


def _check_there(shell: Shell, source: str, arguments: argparse.Namespace) -> None:
    """Refuse a choice of nothing before Spark is started for it."""
    waiting = [row for row in _refused(shell, source) if row["replayed_epoch"] is None]
    if any(_is_chosen(row, arguments) for row in waiting):
        return
    codes = Counter(sorted(row["code"] for row in waiting))
    raise NotReadyError(
        f"no refused record of {source} that was not replayed yet is chosen so",
        found=", ".join(f"{n:,} {code}" for code, n in codes.most_common()) or "none at all",
        remedy=f"throughline rejects list {source}",
        code="nothing_refused",
    )


def _replay(arguments: argparse.Namespace, shell: Shell, source: str) -> int:
    from assets import names
    from orchestration.runs import Runs

    config = {"codes": arguments.code, "epochs": arguments.epoch, "dates": arguments.date}
    if not any(config.values()):
        raise InvalidInputError(
            "say which records to replay",
            found="no filter",
            remedy="give --code, --epoch or --date",
        )
    _check_there(shell, source, arguments)
    with Runs(shell.settings, shell.say) as runs:
        with shell.step(f"land refused records of {source} again") as step:
            key = names.replayed(source)
            chosen = {key.to_python_identifier(): {"config": config}}
            made = runs.assets([key], config={"ops": chosen}).metadata_of(key)
            n_epochs = len(made["report"]["landed"])
            step.detail = f"{made['dagster/row_count']:,} records in {n_epochs} epochs"
        with shell.step(f"ingest {source}") as step:
            step.detail = in_words(ingest(runs, source))
    shell.next(f"throughline rejects list {source}")
    return 0
