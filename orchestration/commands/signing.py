"""``signing``: the keys that releases, approvals, channels and the audit log are signed with."""

import argparse

from core.audit.records import Entry
from core.errors import InvalidInputError
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell, table
from stores.audit.log import AuditLog
from stores.keys.signing import ROLES, Role, public_keys, revoked_keys
from stores.keys.signing_keys import (
    current_keys,
    refuse_mounted,
    revocable_role,
    revoke_key,
    rotated_signer,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every key, by its role")
    rotate = actions.add_parser("rotate", help="sign with a new key; what the old one signed holds")
    rotate.add_argument("role", choices=ROLES)
    revoke = actions.add_parser("revoke", help="believe nothing more that an old key signed")
    revoke.add_argument("key_id", help="as `throughline signing list` shows it")
    for action in (rotate, revoke):
        action.add_argument("--who", required=True, type=name_on_paper, help="your name")
        action.add_argument("--why", required=True, type=reason_on_paper, help="for the record")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """List, rotate or revoke."""
    if arguments.action == "list":
        return _list(shell)
    layout, now_ms = shell.settings.layout, shell.clock.now_ms()
    log = AuditLog.of(layout, is_signing=True)

    def said(what: str, **about: str) -> None:
        who, why = arguments.who, arguments.why
        log.append([Entry(at_ms=now_ms, what=what, who=who, why=why, about=about)])

    if arguments.action == "rotate":
        role: Role = arguments.role
        former = current_keys(layout.keys).get(role)
        if former is None:
            raise InvalidInputError(f"nothing was ever signed as {role} here", code="unknown_key")
        refuse_mounted(layout.keys)
        said("signing_key_rotation", role=role, former=former)
        signer = rotated_signer(layout.keys, role)
        said("signing_key_rotated", role=role, former=former, key=signer.key_id)
        shell.say(f"{role} signs with {signer.key_id}; what {former} signed holds until revoked")
        return 0
    revocable_role(layout.keys, arguments.key_id)  # nothing is put down that cannot be done
    said("signing_key_revocation", key=arguments.key_id)
    revoked = revoke_key(
        layout.keys, arguments.key_id, who=arguments.who, why=arguments.why, at_ms=now_ms
    )
    said("signing_key_revoked", role=revoked.role, key=revoked.key_id)
    shell.say(f"nothing that {revoked.key_id} signed as {revoked.role} is believed any more")
    return 0


def _list(shell: Shell) -> int:
    directory = shell.settings.layout.keys
    signing = set(current_keys(directory).items())
    revoked = {each.key_id for each in revoked_keys(directory).keys}
    rows = [("role", "key", "state")]
    for role, key_id in public_keys(directory):
        state = "signs" if (role, key_id) in signing else "verifies only"
        rows.append((role, key_id, "revoked" if key_id in revoked else state))
    shell.say(table(rows) if len(rows) > 1 else "nothing was signed yet")
    return 0
