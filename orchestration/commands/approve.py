"""``approve``: a person's word for a release, and the request to serve it."""

import argparse

from orchestration.channels import answered
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell
from stores.channels import Asked
from stores.shelf import Shelf
from stores.signing import ensure_signer


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
    parser.add_argument("--comment", type=reason_on_paper, help="why")
    parser.add_argument(
        "--rollout", action="store_true", help="start its rollout instead of serving it to all"
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Approve and ask."""
    approve(
        shell,
        arguments.use_case,
        arguments.release,
        who=arguments.who,
        comment=arguments.comment or "",
        is_rolled_out=arguments.rollout,
    )
    if arguments.rollout:
        shell.next(f"throughline rollout status {arguments.use_case}")
        return 0
    shell.next(f"throughline score {arguments.use_case}, or `throughline up`")
    return 0


def approve(
    shell: Shell,
    use_case: str,
    release: int,
    *,
    who: str,
    comment: str,
    is_rolled_out: bool = False,
) -> None:
    """Sign an approval of the release as it stands, and have the controller serve it."""
    layout, now_ms = shell.settings.layout, shell.clock.now_ms()
    shelf = Shelf(layout.shelf)
    signer = ensure_signer(layout.keys, "approval")
    with shell.step(f"approve release {release} of {use_case} as {who}") as step:
        shelf.approve(use_case, release, who=who, comment=comment, at_ms=now_ms, signer=signer)
        why = comment or f"approved by {who}"
        action: Asked = "start" if is_rolled_out else "promote"
        request = shelf.board.ask(action, use_case, release=release, why=why, who=who, at_ms=now_ms)
        step.detail = answered(shell, request).because
