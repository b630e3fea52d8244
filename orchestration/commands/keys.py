"""``keys``: who may ask the service for what; a secret is shown once, when it is made."""

import argparse
from typing import NamedTuple

from core.access import VERBS, AccessKey, RateLimit, parsed_scopes
from core.clock import DAY_MS, HOUR_MS
from core.errors import InvalidInputError
from core.nearest import nearest
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell, table
from stores.audit.log import AuditLog
from stores.home_id import home_id
from stores.keys.access_keys import AccessKeyFile

OVERLAP_H = 24.0


class Said(NamedTuple):
    """What the record of a change says of it."""

    who: str
    why: str
    now_ms: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key, and show its secret this once")
    create.add_argument("--owner", required=True, type=name_on_paper, help="who will use it")
    create.add_argument(
        "--scope",
        required=True,
        action="append",
        help=f"USE_CASE:VERB[,VERB...] or *:...; repeatable; verbs: {', '.join(VERBS)}",
    )
    create.add_argument("--expires-days", type=_positive, help="default: never")
    create.add_argument("--per-second", type=_positive, help="points a second; default: any")
    create.add_argument("--burst", type=int, help="points at once; default: those of a second")
    create.add_argument("--daily", type=int, help="points a day (UTC); default: any")
    actions.add_parser("list", help="every key, without its secret")
    rotate = actions.add_parser("rotate", help="give a key a new secret; the old one holds on")
    rotate.add_argument(
        "--overlap-hours",
        type=_not_negative,
        default=OVERLAP_H,
        help=f"how long the old secret holds; default {OVERLAP_H:.0f}",
    )
    revoke = actions.add_parser("revoke", help="make a key open nothing, for good")
    for action in (rotate, revoke):
        action.add_argument("key_id", help="as `throughline keys list` shows it")
    for action in (create, rotate, revoke):
        action.add_argument(
            "--who", required=True, type=name_on_paper, help="your name, for the record"
        )
        action.add_argument("--why", type=reason_on_paper, help="for the record")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Create, list, rotate or revoke."""
    layout = shell.settings.layout
    file = AccessKeyFile(layout.access, AuditLog.of(layout, is_signing=True))
    if arguments.action == "list":
        return _list(file, shell)
    home_id(layout)
    said = Said(arguments.who, arguments.why or "", shell.clock.now_ms())
    if arguments.action == "create":
        _shown(shell, _create(file, arguments, said))
        _say_unknown(shell, arguments.scope)
    elif arguments.action == "rotate":
        overlap_ms = round(arguments.overlap_hours * HOUR_MS)
        written = file.rotate(arguments.key_id, overlap_ms=overlap_ms, **said._asdict())
        _shown(shell, written)
        shell.say(f"The secret before it holds for {arguments.overlap_hours:g} h more.")
    else:
        file.revoke(arguments.key_id, **said._asdict())
        shell.say(f"{arguments.key_id} is revoked; every worker refuses it within 5 s")
    return 0


def _create(file: AccessKeyFile, arguments: argparse.Namespace, said: Said) -> str:
    days = arguments.expires_days
    if arguments.daily is not None and arguments.daily < 1:
        raise _bad_limit("--daily", arguments.daily)
    return file.create(
        owner=arguments.owner,
        scopes=parsed_scopes(arguments.scope),
        expires_ms=None if days is None else said.now_ms + round(days * DAY_MS),
        rate=_rate(arguments.per_second, arguments.burst),
        daily_quota=arguments.daily,
        **said._asdict(),
    )


def _say_unknown(shell: Shell, written: list[str]) -> None:
    """Say of which use cases nothing is known here; they may be declared elsewhere, or later."""
    from use_cases import discover

    known = {"*", *discover(shell.settings.use_case_packages)}
    for name in sorted({scope.use_case for scope in parsed_scopes(written)} - known):
        near = nearest(name, known)
        shell.say(
            f"\nno use case {name} is declared here{f'; {near} is' if near else ''}: "
            "until one has a release, that scope opens nothing"
        )


def _rate(per_s: float | None, burst: int | None) -> RateLimit | None:
    if per_s is None:
        if burst is not None:
            raise _bad_limit("--burst without --per-second", burst)
        return None
    if burst is not None and burst < 1:
        raise _bad_limit("--burst", burst)
    return RateLimit(per_s=per_s, burst=burst or max(1, round(per_s)))


def _bad_limit(name: str, value: int) -> InvalidInputError:
    return InvalidInputError(
        "the limit means nothing", found=f"{name} {value}", remedy="give 1 or more points"
    )


def _shown(shell: Shell, written: str) -> None:
    shell.say(written)
    shell.say("\nIt is shown this once; kept is only what it can be checked by. Send it as")
    shell.say("`Authorization: Bearer ...`, or set THROUGHLINE_SERVICE_KEY for this command line.")


def _list(file: AccessKeyFile, shell: Shell) -> int:
    keys = file.read().keys
    if not keys:
        shell.say("no keys: the service of this home is open, on this machine only")
        return 0
    now_ms = shell.clock.now_ms()
    rows = [("id", "state", "owner", "scopes", "points a second", "a day")]
    shell.say(table([*rows, *(_row(key, now_ms) for key in keys)]))
    return 0


def _row(key: AccessKey, now_ms: int) -> tuple[str, ...]:
    rate = "any" if key.rate is None else f"{key.rate.per_s:g}, {key.rate.burst} at once"
    quota = "any" if key.daily_quota is None else f"{key.daily_quota:,}"
    scopes = " ".join(str(scope) for scope in key.scopes)
    return key.key_id, _state(key, now_ms), key.owner, scopes, rate, quota


def _state(key: AccessKey, now_ms: int) -> str:
    if key.revoked_ms is not None:
        return "revoked"
    if not key.is_usable(now_ms):
        return "expired"
    overlaps = any(kept.until_ms is not None and kept.until_ms > now_ms for kept in key.secrets)
    return "good, two secrets" if overlaps else "good"


def _positive(text: str) -> float:
    value = _not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError("write a number above 0")
    return value


def _not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e9:
        raise argparse.ArgumentTypeError("write a number from 0 to a thousand million")
    return value
