"""``approve``: a person's signed word for a release in a role, and the request to serve it."""

import argparse
from functools import partial

from core.clock import DAY_MS
from core.sign_offs import VALID_MS
from orchestration.channels import answered
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell
from stores.keys.signing import KeyRing, ensure_signer
from stores.shelf import signing_off
from stores.shelf.channels import Asked
from stores.shelf.shelf import Shelf


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
    shelf = Shelf(shell.settings.layout.shelf)
    role = signing_off.role_on_paper(shelf, use_case, release, role)
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
        request = shelf.board.ask(action, use_case, release=release, why=why, who=who, at_ms=at_ms)
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
    layout = shell.settings.layout
    return signing_off.signed_off(
        Shelf(layout.shelf),
        partial(KeyRing.from_directory, layout.keys),
        ensure_signer(layout.keys, "approval"),
        use_case,
        release,
        who=who,
        role=role,
        comment=comment,
        now_ms=shell.clock.now_ms(),
        valid_days=valid_days,
    )
