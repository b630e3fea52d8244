"""``audit``: whether the audit log is what was written, and what stands in it."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from core.audit.check import Findings
from core.audit.filter import Wanted, particulars
from core.audit.records import Record
from core.errors import IntegrityError, InvalidInputError, NotReadyError
from orchestration.commands.train import instant_ms
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell, table
from stores.audit.files import SignedCheckpoint
from stores.audit.log import AuditLog
from stores.audit.user import user_name
from stores.audit.verified import put_verified
from stores.durable import is_read_only
from stores.keys.signing import KeyRing

SHOWN = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="check every record, seal, link and signature")
    verify.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="one kept elsewhere, to agree with"
    )
    verify.add_argument(
        "--public-only", action="store_true", help="without the home's secret: no seals"
    )
    shown = actions.add_parser("list", help="the latest records")
    shown.add_argument("--what", help="only of this kind, as `key_revoked`; or of its beginning")
    shown.add_argument("--who", help="only of whoever has this in the name")
    shown.add_argument("--use-case", help="only about this use case")
    shown.add_argument("--since", help="only from this date or instant on")
    shown.add_argument("--until", help="only before this date or instant")
    shown.add_argument("--latest", type=int, default=SHOWN, help=f"how many; default {SHOWN}")
    shown.add_argument("--json", action="store_true", help="whole records, a line each")
    actions.add_parser("checkpoint", help="print the newest checkpoint, to be kept elsewhere")
    aside = actions.add_parser("set-aside", help="keep a changed log as it is, and begin another")
    aside.add_argument("--why", required=True, type=reason_on_paper, help="what was found")
    aside.add_argument("--who", type=name_on_paper, help="default the user's name")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Verify, list, print a checkpoint, or set the log aside."""
    layout = shell.settings.layout
    log = AuditLog.of(layout, is_signing=True)
    if arguments.action == "verify":
        ring = KeyRing.from_directory(layout.keys)
        found = _found(log, ring, arguments.checkpoint, has_secret=not arguments.public_only)
        if not arguments.public_only and not is_read_only(layout.root):
            put_verified(layout, found, who=user_name(), at_ms=shell.clock.now_ms())
        return _told(found, shell)
    if arguments.action == "list":
        return _list(log, arguments, shell)
    if arguments.action == "checkpoint":
        return _checkpoint(log, shell)
    who = arguments.who or user_name()
    aside = log.set_aside(who=who, why=arguments.why, at_ms=shell.clock.now_ms())
    shell.say(f"the log is in {aside}; a new one begins with saying so")
    return 0


def _found(log: AuditLog, ring: KeyRing, kept: Path | None, *, has_secret: bool) -> Findings:
    kept_here = [_read_checkpoint(kept)] if kept else []
    return log.verify(ring, kept=kept_here, has_secret=has_secret)


def _told(found: Findings, shell: Shell) -> int:
    if not found.is_whole:
        raise IntegrityError(
            "the audit log is not what was written",
            found="; ".join(str(fault) for fault in found.faults),
            remedy="leave it as it is, and read docs/audit.md",
            code="audit_changed",
        )
    shell.say(in_words(found))
    return 0


def in_words(found: Findings) -> str:
    """What a verification found of a whole log."""
    lines = [
        f"whole: {found.n_records:,} records, {found.n_signed:,} of them under "
        f"{found.n_checkpoints:,} signed checkpoints"
    ]
    if found.torn_bytes:
        lines.append(f"{found.torn_bytes} bytes behind the end, torn by a crash: harmless")
    return "\n".join(lines)


def _list(log: AuditLog, arguments: argparse.Namespace, shell: Shell) -> int:
    wanted = Wanted(
        what=arguments.what or "",
        who=arguments.who or "",
        use_case=arguments.use_case or "",
        since_ms=instant_ms(arguments.since) if arguments.since else None,
        until_ms=instant_ms(arguments.until) if arguments.until else None,
    )
    records = log.latest(max(1, arguments.latest), wanted.takes, hints=wanted.hints)
    if arguments.json:
        for record in records:
            shell.say(json.dumps(record.model_dump(mode="json"), ensure_ascii=False))
        return 0
    heads = ("n", "when (UTC)", "what", "who", "about", "why")
    shell.say(table([heads, *map(_row, records)]) if records else "no such record")
    return 0


def _row(record: Record) -> tuple[str, ...]:
    at = datetime.fromtimestamp(record.at_ms / 1_000, UTC)
    when = f"{at:%Y-%m-%d %H:%M:%S}"
    return str(record.n), when, record.what, record.who, particulars(record), record.why[:120]


def _checkpoint(log: AuditLog, shell: Shell) -> int:
    found = log.last_checkpoint()
    if found is None:
        raise NotReadyError("there is no checkpoint yet", remedy="promote or approve something")
    shell.say(found.line().decode().rstrip("\n"))
    return 0


def _read_checkpoint(path: Path) -> SignedCheckpoint:
    try:
        return SignedCheckpoint.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise InvalidInputError(
            "the file has no checkpoint",
            found=path.name,
            remedy="give a line that `throughline audit checkpoint` printed",
        ) from None
