"""``backup``: copy everything of a home while it works; list and check what was copied."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from core.errors import IntegrityError, NotReadyError
from orchestration.shell import Shell, table
from stores.backups import backups_in, faults_of, read_backup, take_backup

FAULTS_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=Path, help="where backups are kept, best on another disk")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--list", action="store_true", help="show the backups that are there")
    kind.add_argument(
        "--verify", action="store_true", help="read every file of the newest, and compare"
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Make a backup, list those there are, or verify the newest."""
    if arguments.list:
        return _list(arguments.folder, shell)
    if arguments.verify:
        return _verify(arguments.folder, shell)
    return _take(arguments.folder, shell)


def _take(folder: Path, shell: Shell) -> int:
    settings = shell.settings
    with shell.step(f"back up {settings.layout.root}") as step:
        taken = take_backup(settings.layout, folder, at_ms=shell.clock.now_ms())
        step.detail = (
            f"{len(taken.backup.files):,} files, {taken.backup.bytes / 1e6:,.1f} MB, "
            f"{taken.linked:,} unchanged since the last one"
        )
    for name, url in (
        ("tables", settings.lake_uri if "://" in settings.lake_uri.removeprefix("file://") else ""),
        ("online values", settings.online_url if "redis" in settings.online_url else ""),
        ("MLflow's records", settings.mlflow_uri),
    ):
        if url:
            shell.say(f"not copied, as a server keeps them: {name}")
    shell.say(f"\nthe signing keys are in {taken.path}: keep it as you keep them")
    shell.next(f"throughline restore {taken.path} --home A_NEW_FOLDER")
    return 0


def _list(folder: Path, shell: Shell) -> int:
    rows = [("backup", "made", "files", "MB")]
    for path in backups_in(folder):
        backup = read_backup(path)
        made = datetime.fromtimestamp(backup.made_at_ms / 1_000, UTC)
        size = f"{backup.bytes / 1e6:,.1f}"
        rows.append((str(path), f"{made:%Y-%m-%d %H:%M:%S} UTC", f"{len(backup.files):,}", size))
    if len(rows) == 1:
        raise _none_in(folder)
    shell.say(table(rows))
    shell.next(f"throughline restore {rows[-1][0]} --home A_NEW_FOLDER")
    return 0


def _verify(folder: Path, shell: Shell) -> int:
    found = backups_in(folder)
    if not found:
        raise _none_in(folder)
    with shell.step(f"verify {found[-1]}") as step:
        backup = read_backup(found[-1])
        faults = faults_of(found[-1], backup)
        step.detail = f"{len(backup.files) - len(faults):,} of {len(backup.files):,} as written"
    if faults:
        raise IntegrityError(
            "the backup is not what was written",
            found="; ".join(faults[:FAULTS_SHOWN]),
            remedy="make another now; until then an earlier one may be whole",
        )
    return 0


def _none_in(folder: Path) -> NotReadyError:
    return NotReadyError(
        "there is no backup", found=f"none in {folder}", remedy=f"throughline backup {folder}"
    )
