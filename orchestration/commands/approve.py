"""``approve``: a person's signed word for a release in a role, and the request to serve it."""

import argparse

from core.clock import DAY_MS
from core.errors import InvalidInputError
from core.sign_offs import VALID_MS, roles_of
from orchestration.channels import answered
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell
from stores.bundle import read_manifest
from stores.channels import Asked
from stores.shelf import Shelf
from stores.signing import KeyRing, ensure_signer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("use_case")
    parser.add_argument("release", type=int)
    parser.add_argument(
        "--who",
        required=True,
        type=name_on_paper,
        help="your name, as it will stand in the record",
    )
    parser.add_argument(
        "--role",
        help="in which role, as `risk` or `owner`; not needed where the risk tier asks for one",
    )
    parser.add_argument("--comment", type=reason_on_paper, help="why")
    parser.add_argument(
        "--valid-days",
        type=int,
        default=VALID_MS // DAY_MS,
        help="how long it holds; default %(default)s",
    )
    parser.add_argument(
        "--rollout", action="store_true", help="start its rollout instead of serving it to all"
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Approve; ask, when nobody else's word is missing."""
    use_case, release = arguments.use_case, arguments.release
    missing = approve(
        shell,
        use_case,
        release,
        who=arguments.who,
        role=arguments.role,
        comment=arguments.comment or "",
        valid_days=arguments.valid_days,
        is_rolled_out=arguments.rollout,
    )
    if missing:
        more = " --rollout" if arguments.rollout else ""
        shell.say(f"still missing: {' and '.join(missing)}, each of another person")
        shell.next(f"throughline approve {use_case} {release} --role {missing[0]} --who WHO{more}")
        return 0
    if arguments.rollout:
        shell.next(f"throughline rollout status {use_case}")
        return 0
    shell.next(f"throughline score {use_case}, or `throughline up`")
    return 0


def approve(
    shell: Shell,
    use_case: str,
    release: int,
    *,
    who: str,
    role: str | None = None,
    comment: str,
    valid_days: int = VALID_MS // DAY_MS,
    is_rolled_out: bool = False,
) -> tuple[str, ...]:
    """Sign an approval of the release as it stands; the roles that are still missing.

    When none is, the controller is asked to serve it.
    """
    board = Shelf(shell.settings.layout.shelf).board
    role = role_on_paper(shell, use_case, release, role)
    with shell.step(f"approve release {release} of {use_case} as {who}, {role}") as step:
        missing = signed_off(
            shell, use_case, release, who=who, role=role, comment=comment, valid_days=valid_days
        )
        if missing:
            step.detail = "signed, not served yet"
            return missing
        why = comment or f"approved by {who}"
        action: Asked = "start" if is_rolled_out else "promote"
        at_ms = shell.clock.now_ms()
        request = board.ask(action, use_case, release=release, why=why, who=who, at_ms=at_ms)
        step.detail = answered(shell, request).because
    return ()


def signed_off(
    shell: Shell,
    use_case: str,
    release: int,
    *,
    who: str,
    role: str,
    comment: str,
    valid_days: int = VALID_MS // DAY_MS,
) -> tuple[str, ...]:
    """Sign an approval and ask nobody to serve it; the roles that are still missing."""
    if valid_days < 1:
        raise InvalidInputError(
            "the approval would never hold", found=f"{valid_days} days", remedy="give 1 or more"
        )
    layout, now_ms = shell.settings.layout, shell.clock.now_ms()
    shelf = Shelf(layout.shelf)
    shelf.verify(use_case, release, KeyRing.from_directory(layout.keys))
    shelf.approve(
        use_case,
        release,
        who=who,
        role=role,
        comment=comment,
        at_ms=now_ms,
        signer=ensure_signer(layout.keys, "approval"),
        valid_ms=valid_days * DAY_MS,
    )
    keys = KeyRing.from_directory(layout.keys)
    return shelf.missing_approvals(use_case, release, keys, now_ms)


def role_on_paper(shell: Shell, use_case: str, release: int, role: str | None) -> str:
    """The role that was given, or the only one that is asked for.

    Raises
    ------
    InvalidInputError
        If it is none that this release takes, or there are several to choose from.
    """
    manifest = read_manifest(Shelf(shell.settings.layout.shelf).bundle(use_case, release))
    roles = roles_of(manifest.risk_tier, manifest.sign_offs) or ("risk",)
    if role is None and len(roles) == 1:
        return roles[0]
    if role not in roles:
        raise InvalidInputError(
            f"release {release} of {use_case} is signed off in other roles",
            found=role or "no --role",
            remedy=f"give one of {', '.join(roles)}",
            code="unknown_role",
        )
    return role
