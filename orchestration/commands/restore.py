"""``restore``: make a home of a backup, where none is."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from core.audit.records import Entry
from orchestration.fields import name_on_paper
from orchestration.shell import Shell
from stores.audit.log import AuditLog
from stores.audit.user import user_name
from stores.backups import put_back


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("backup", type=Path, help="a dated folder that `throughline backup` made")
    parser.add_argument("--who", type=name_on_paper, help="default the user's name")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Put it back below ``--home``, and write down that it was."""
    layout = shell.settings.layout
    with shell.step(f"restore {arguments.backup} to {layout.root}") as step:
        backup = put_back(arguments.backup, layout.root)
        step.detail = f"{len(backup.files):,} files, each as it was written"
    made = datetime.fromtimestamp(backup.made_at_ms / 1_000, UTC)
    entry = Entry(
        at_ms=shell.clock.now_ms(),
        what="home_restored",
        who=arguments.who or user_name(),
        why="from a backup",
        about={"home": backup.home_id, "made_at_ms": backup.made_at_ms},
    )
    AuditLog.of(layout, is_signing=True).append([entry])
    shell.say(f"\nthis home is as it was on {made:%Y-%m-%d at %H:%M:%S} UTC")
    shell.next(f"throughline up --home {layout.root}")
    return 0
