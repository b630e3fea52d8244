"""``rollout``: a new release for a few, then more, then all; every step asked of the controller."""

import argparse
from datetime import UTC, datetime

from core.errors import NotReadyError
from orchestration.channels import answered, channels_of
from orchestration.commands.predict import declared
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell, table
from stores.audit.user import user_name
from stores.keys.signing import ensure_signer
from stores.shelf.channels import Asked, ChannelState
from stores.shelf.papers import StageApproval
from stores.shelf.rollouts import AuditEntry, RolloutBoard, RolloutReport, ShadowReport
from stores.shelf.shelf import Shelf
from stores.shelf.signing_off import stage_signed_off

SHOWN_MOVES = 10
_ASKED: dict[str, Asked] = {
    "start": "start",
    "approve": "approve_stage",
    "promote": "promote",
    "hold": "hold",
    "resume": "resume",
    "rollback": "withdraw",
    "shadow": "shadow",
}
_HELP = {
    "start": "give an approved release its first share",
    "approve": "let the rollout leave the stage it is in, as your signed word",
    "promote": "serve the challenger to everybody now",
    "hold": "keep the rollout in its stage; a broken gate rolls back all the same",
    "resume": "let a held rollout go on",
    "rollback": "take the challenger out; the champion answers everybody within seconds",
    "shadow": "score a release beside the champion; none without a release",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    status = actions.add_parser("status", help="where it stands, and what happened")
    status.add_argument("use_case")
    for name, said in _HELP.items():
        action = actions.add_parser(name, help=said)
        action.add_argument("use_case")
        if name == "start":
            action.add_argument("release", type=int)
            action.add_argument(
                "--at-once", action="store_true", help="blue-green: all entities, no stages"
            )
        if name == "shadow":
            action.add_argument("release", type=int, nargs="?", help="default: no shadow any more")
        action.add_argument("--who", type=name_on_paper, help="default the user's name")
        action.add_argument("--why", type=reason_on_paper, help="kept in the audit")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Ask the controller and print its answer, or print where things stand."""
    use_case = declared(shell, arguments.use_case).name
    if arguments.action == "status":
        return _status(shell, use_case)
    action, state = _ASKED[arguments.action], channels_of(shell).state(use_case)
    who = arguments.who or user_name()
    with shell.step(f"{arguments.action} the rollout of {use_case}") as step:
        request = Shelf(shell.settings.layout.shelf).board.ask(
            action,
            use_case,
            release=_release(arguments, state),
            is_at_once=getattr(arguments, "at_once", False),
            approval=stage_approval(shell, use_case, state, who)
            if action == "approve_stage"
            else None,
            why=arguments.why or f"{arguments.action} by {who}",
            who=who,
            at_ms=shell.clock.now_ms(),
        )
        step.detail = answered(shell, request).because
    shell.next(f"throughline rollout status {use_case}")
    return 0


def _release(arguments: argparse.Namespace, state: ChannelState) -> int | None:
    if arguments.action == "promote":
        if state.challenger is None:
            raise NotReadyError(
                f"there is no challenger of {arguments.use_case} to promote",
                found=f"champion {state.champion} alone",
                remedy="start a rollout, or approve a release to have it served at once",
                code="no_rollout",
            )
        return state.challenger
    release: int | None = getattr(arguments, "release", None)
    return release


def stage_approval(shell: Shell, use_case: str, state: ChannelState, who: str) -> StageApproval:
    """A signed word that the present stage may be left."""
    signer = ensure_signer(shell.settings.layout.keys, "approval")
    return stage_signed_off(signer, use_case, state, who=who, now_ms=shell.clock.now_ms())


def _status(shell: Shell, use_case: str) -> int:
    board = RolloutBoard(shell.settings.layout.shelf)
    state = channels_of(shell).state(use_case)
    shell.say(f"champion {state.champion or 'none'}")
    if state.challenger is not None:
        shell.say(f"challenger {state.challenger} at {state.challenger_weight:.0%} of entities")
    report = board.standing(use_case, state)
    if report.rollout is not None:
        shell.say("")
        _say_rollout(shell, report.rollout, state)
    if report.shadow is not None:
        shell.say("")
        _say_shadow(shell, report.shadow)
    moves = board.audit(use_case, latest=SHOWN_MOVES)
    heads = ("when (UTC)", "what", "release", "who", "why")
    happened = table([heads, *map(_move, moves)]) if moves else "no rollout and no shadow yet"
    shell.say(f"\n{happened}")
    return 0


def _say_rollout(shell: Shell, rollout: RolloutReport, state: ChannelState) -> None:
    ended = rollout.ended.replace("_", " ") or "under way"
    # By the channels: the report is as old as the controller's last look.
    is_held = state.rollout is not None and state.rollout.is_held
    held = ", held by a person" if is_held and not rollout.ended else ""
    shell.say(f"release {rollout.challenger} against {rollout.champion}: {ended}{held}")
    if rollout.trouble:
        shell.say(f"stays where it is: {rollout.trouble}")
    if rollout.step is not None:
        shell.say(f"{rollout.step.action.replace('_', ' ')}: {rollout.step.because}")
    if rollout.verdicts:
        rows = [(v.gate, v.state.replace("_", " "), v.because) for v in rollout.verdicts]
        shell.say(table([("gate", "", "what was seen"), *rows]))


def _say_shadow(shell: Shell, shadow: ShadowReport) -> None:
    shell.say(f"shadow {shadow.release}: {shadow.verdict.state.replace('_', ' ')}")
    for sentence in shadow.verdict.because:
        shell.say(f"  {sentence}")


def _move(entry: AuditEntry) -> tuple[str, ...]:
    at = datetime.fromtimestamp(entry.at_ms / 1_000, UTC)
    return (
        f"{at:%Y-%m-%d %H:%M:%S}",
        entry.event.replace("_", " "),
        str(entry.release),
        entry.who,
        entry.why,
    )
