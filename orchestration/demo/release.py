"""The closed loop, its middle: a challenger is signed off, shadowed, rolled out and promoted.

The service answers real requests meanwhile: of those the controller judges. Cut short anywhere,
the next run goes on from what channels and papers say.
"""

import time
from dataclasses import dataclass

from core.errors import DependencyError, PlatformError
from orchestration.channels import answered, channels_of
from orchestration.client import call
from orchestration.commands.approve import signed_off
from orchestration.commands.predict import score_in_words
from orchestration.commands.push import push
from orchestration.commands.rollout import stage_approval
from orchestration.demo.canaries import Request, ask, followed, payments_of_all_cards, traffic
from orchestration.demo.service import service
from orchestration.demo.steps import (
    COUNT,
    SEEN_WITHIN_S,
    USE_CASE,
    WHO,
    count_of,
    request_of,
    wait_ready,
)
from orchestration.shell import Shell, table
from orchestration.typed import typed
from stores.keys.signing import KeyRing
from stores.shelf.channels import ChannelState
from stores.shelf.rollouts import RolloutBoard
from stores.shelf.shelf import Shelf

SMALL_AMOUNTS = (480, 610, 550, 720, 430, 590, 660, 520)
"""A thief's payments within a minute: what an honest card pays at such a shop, too."""

SERVES = (
    "The service answers real requests all the while. At risk tier `high` two roles must sign;\n"
    "  the controller, the only one who writes what is served, refuses everything before."
)
SHADOWED_WITHIN_S, LOOK_EVERY_S = 60.0, 0.2
COMMENTS = {
    "risk": "looked at the model card: slices, groups, limits",
    "owner": "better where the world went, no worse where it was",
}


def released(shell: Shell, release: int) -> None:
    """Bring a release to everybody, unless it is there or was."""
    state = channels_of(shell).state(USE_CASE)
    if release in (state.champion, *state.former_champions):
        shell.say(f"  (there)  release {release} was signed off, shadowed and promoted")
        return
    with service(shell):
        wait_ready(shell)
        requests = payments_of_all_cards(shell)
        before = try_card(shell, requests[0])
        sign_off(shell, release)
        with traffic(shell, requests):
            if state.rollout is None:
                shadowed(shell, release)
            rolled_out(shell, release, state)
        after = try_card(shell, requests[1])
    shell.say(answers_in_words(before, after))
    typed(shell, "releases", "live", USE_CASE)


@dataclass(frozen=True)
class Theft:
    """Answers of one release to a run of small payments on one card: score and decision of each."""

    release: int
    answers: tuple[tuple[float | None, str], ...]


def try_card(shell: Shell, request: Request) -> Theft:
    """Pay small amounts at a new shop within moments, asking before each as the shop would."""
    from use_cases.fraud.shift import new_shop

    card = request["entities"]["card_id"]
    shop = new_shop(shell.settings.layout.landing)
    answers, release = [], 0
    with shell.step(f"a thief tries {card}: {len(SMALL_AMOUNTS)} small payments") as step:
        for amount in SMALL_AMOUNTS:
            asked = request_of(card, shop, amount) | {"explain": False}
            answer = call(shell, f"/v1/{USE_CASE}/predictions", asked)
            answers.append((answer["score"], answer["decision"]))
            release = int(answer["model"]["release"])
            paid(shell, card, shop, amount)
        step.detail = f"release {release} answers the last one {answers[-1][1]}"
    return Theft(release, tuple(answers))


def paid(shell: Shell, card: str, terminal: str, amount: int) -> None:
    """Push one payment and wait until a read counts it."""
    asked = request_of(card, terminal, amount) | {"explain": False}
    before, now_ms = count_of(shell, asked), shell.clock.now_ms()
    fields = {"card_id": card, "terminal_id": terminal, "amount_minor": amount}
    push(
        shell,
        "transactions",
        {"event_id": f"demo-loop-{now_ms}", "event_timestamp": now_ms, **fields},
    )
    elapsed = shell.elapsed()
    while count_of(shell, asked) <= before:
        if elapsed() > SEEN_WITHIN_S:
            raise DependencyError(
                "the payment was taken and no read shows it",
                found=f"{COUNT} stayed {before:g} for {SEEN_WITHIN_S:.0f} s",
                remedy="read logs/folder.log below home",
            )


def answers_in_words(before: Theft, after: Theft) -> str:
    """What the former and the new champion said of the same kind of theft, side by side.

    Examples
    --------
    >>> print(answers_in_words(Theft(1, ((0.001, "APPROVE"),)), Theft(4, ((0.97, "BLOCK"),))))
    <BLANKLINE>
      the same theft, payment by payment, on two cards:
        payment  release 1             release 4
        1        score 0.0010 APPROVE  score 0.9700 BLOCK
    """
    rows = [("payment", f"release {before.release}", f"release {after.release}")]
    for number, pair in enumerate(zip(before.answers, after.answers, strict=True), start=1):
        said = [f"{score_in_words(score)} {decision}" for score, decision in pair]
        rows.append((str(number), said[0], said[1]))
    return "\n  the same theft, payment by payment, on two cards:\n" + table(rows, indent=4)


def sign_off(shell: Shell, release: int) -> None:
    """Two people sign, each in their role; nobody may serve it before both have."""
    layout = shell.settings.layout
    shelf, keys = Shelf(layout.shelf), KeyRing.from_directory(layout.keys)
    missing = shelf.missing_approvals(USE_CASE, release, keys, shell.clock.now_ms())
    if missing:
        shell.say(f"  before anybody signed: {refusal(shell, release)}\n")
    for role in missing:
        with shell.step(f"{WHO[role]} signs release {release} off, as {role}") as step:
            signed_off(shell, USE_CASE, release, who=WHO[role], role=role, comment=COMMENTS[role])
            step.detail = COMMENTS[role]


def refusal(shell: Shell, release: int) -> str:
    """What the controller says to whoever wants to roll it out now."""
    try:
        return ask(shell, "start", release, "too early")
    except PlatformError as error:
        return str(error)


def shadowed(shell: Shell, release: int) -> None:
    """Score a release beside the champion until a verdict can be given on both."""
    board = RolloutBoard(Shelf(shell.settings.layout.shelf).root)
    with shell.step(f"release {release} as shadow: it is asked, and answers nobody") as step:
        ask(shell, "shadow", release, "seen beside the champion before anybody is answered by it")
        elapsed = shell.elapsed()
        while (report := board.report(USE_CASE).shadow) is None or (
            report.release != release or report.verdict.state == "too_few"
        ):
            if elapsed() > SHADOWED_WITHIN_S:
                raise DependencyError(
                    "the shadow was not asked often enough",
                    found=f"no verdict within {SHADOWED_WITHIN_S:.0f} s",
                    remedy="read logs/service.log below home, then run this again",
                )
            time.sleep(LOOK_EVERY_S)
        points = report.verdict.numbers["n_points"]
        step.detail = f"{points:.0f} points, {report.verdict.state.replace('_', ' ')}"
    for sentence in report.verdict.because:
        shell.say(f"           {sentence}")
    ask(shell, "shadow", None, "seen enough")


def rolled_out(shell: Shell, release: int, state: ChannelState) -> None:
    """Roll a release out by its stages; a person lets it leave the first one."""
    board = RolloutBoard(Shelf(shell.settings.layout.shelf).root)
    with shell.step(f"roll out release {release}, by stages") as step:
        if state.rollout is None or state.challenger != release:
            ask(shell, "start", release, "the challenger that drift asked for")
        ended = followed(shell, board, release, lambda: approved_stage(shell, board))
        step.detail = ended.replace("_", " ")
    if ended != "promoted":
        raise DependencyError(
            f"release {release} was taken back by what was counted",
            found="the line above",
            remedy="that is what gates are for; run this again to try once more",
        )


def approved_stage(shell: Shell, board: RolloutBoard) -> None:
    """Sign for the stage, when nothing but a person's word is missing."""
    report = board.report(USE_CASE).rollout
    state = channels_of(shell).state(USE_CASE)
    if report is None or report.step is None or state.rollout is None:
        return
    is_due = [missing.what for missing in report.step.missing] == ["approvals"]
    is_of_now = (report.experiment, report.stage) == (state.rollout.experiment, state.rollout.stage)
    if not (is_due and is_of_now) or report.stage in state.rollout.approved_stages:
        return
    who = WHO["risk"]
    request = Shelf(shell.settings.layout.shelf).board.ask(
        "approve_stage",
        USE_CASE,
        approval=stage_approval(shell, USE_CASE, state, who),
        why="looked at the counts of the first stage",
        who=who,
        at_ms=shell.clock.now_ms(),
    )
    answered(shell, request)
