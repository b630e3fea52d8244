"""``retention``: remove what has had its time, show what would go, hold and lift, bring back."""

import argparse
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from core.clock import date_start_ms, event_date
from core.errors import InvalidInputError
from core.nearest import or_near
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell, table
from stores.cold.tier import LOAN_DAYS, ColdTier
from stores.holds import Holds

if TYPE_CHECKING:
    from core.retention import Hold, TargetPlan

ACTIONS = ("sweep", "holds", "hold", "lift", "cold", "bring")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="sweep")
    parser.add_argument("id", nargs="?", help="id of the hold to lift, or to bring back")
    parser.add_argument("--dry-run", action="store_true", help="show what would go; change nothing")
    parser.add_argument("--target", help="what to hold: a name of the report, or a pattern of them")
    parser.add_argument("--until", help="last date of the hold, YYYY-MM-DD")
    parser.add_argument("--who", type=name_on_paper, help="your name, as it will stand in the file")
    parser.add_argument("--why", type=reason_on_paper, help="the reason, kept with the hold")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Sweep, or work on the holds."""
    if arguments.action == "holds":
        return _list(shell)
    if arguments.action == "hold":
        return _hold(arguments, shell)
    if arguments.action == "lift":
        return _lift(arguments, shell)
    if arguments.action == "cold":
        return _list_cold(shell)
    if arguments.action == "bring":
        return _bring(arguments, shell)
    return _dry_run(shell) if arguments.dry_run else _sweep(shell)


def _sweep(shell: Shell) -> int:
    from assets import names
    from core.retention import TargetPlan
    from orchestration.runs import Runs

    with (
        Runs(shell.settings, shell.say) as runs,
        shell.step("remove what has had its time") as step,
    ):
        seen = runs.assets([names.retention()])
        made = seen.metadata_of(names.retention())
        step.detail = (
            f"{made['removed']:,} pieces, {made['removed_bytes']:,} bytes; moved "
            f"{made['moved']:,} to the cold tier, {made['moved_bytes']:,} bytes; purged "
            f"{made['purged_files']:,} files of old versions, {made['purged_bytes']:,} bytes"
        )
    _say_plans(shell, [TargetPlan.model_validate(plan) for plan in made["plans"]])
    failed = [check for check in seen.checks if not check.passed]
    for each in failed:
        shell.say(f"\n{each.name} failed: {each.why}")
    return 1 if failed else 0


def _dry_run(shell: Shell) -> int:
    from assets.retention import sweep_of
    from orchestration.environments import platform_of
    from orchestration.runs import Runs

    with Runs(shell.settings, shell.say) as runs:
        checks = list(runs.definitions.resolve_asset_graph().asset_check_keys)
        sweep = sweep_of(runs.declared, platform_of(shell.settings), runs.instance, checks)
        plans = sweep.plans()
    _say_plans(shell, plans)
    shell.say("\nnothing was changed")
    shell.next("throughline retention")
    return 0


def _say_plans(shell: Shell, plans: "list[TargetPlan]") -> None:
    from assets.retention import report_rows

    shell.say(table(report_rows(plans)))


def _list(shell: Shell) -> int:
    holds = Holds(shell.settings.layout).all()
    now_ms = shell.clock.now_ms()
    if not holds:
        shell.say("there is no legal hold")
        return 0
    rows = [(h.hold_id, _state(h, now_ms), h.target, _last_date(h), h.who, h.why) for h in holds]
    shell.say(table([("id", "state", "target", "until", "by", "why"), *rows]))
    return 0


def _state(hold: "Hold", now_ms: int) -> str:
    if hold.lifted_at_ms is not None:
        return f"lifted by {hold.lifted_by}"
    return "in force" if hold.is_in_force(now_ms) else "over"


def _last_date(hold: "Hold") -> str:
    return event_date(hold.until_ms - 1)


def _hold(arguments: argparse.Namespace, shell: Shell) -> int:
    _check_given(arguments, "target", "until", "who", "why")
    until_ms = _end_ms(arguments.until)
    _check_target(arguments.target, shell)
    hold = Holds(shell.settings.layout).place(
        arguments.target,
        who=arguments.who,
        why=arguments.why,
        now_ms=shell.clock.now_ms(),
        until_ms=until_ms,
    )
    shell.say(f"hold {hold.hold_id} on {hold.target} until {_last_date(hold)}")
    shell.next(f"throughline retention lift {hold.hold_id} --who NAME --why REASON")
    return 0


def _end_ms(text: str) -> int:
    """First instant behind a date."""
    try:
        day = date.fromisoformat(text) + timedelta(1)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            "a date cannot be read",
            found=repr(text[:40]),
            remedy="write the last date of the hold as YYYY-MM-DD",
            code="bad_date",
        ) from None
    return date_start_ms(day.isoformat())


def _lift(arguments: argparse.Namespace, shell: Shell) -> int:
    _check_given(arguments, "id", "who", "why")
    now_ms = shell.clock.now_ms()
    holds = Holds(shell.settings.layout)
    hold = holds.lift(arguments.id, who=arguments.who, why=arguments.why, now_ms=now_ms)
    shell.say(f"hold {hold.hold_id} on {hold.target} was lifted by {hold.lifted_by}")
    return 0


def _list_cold(shell: Shell) -> int:
    """What was moved to the cold tier, where it lies, and until when it is here."""
    papers = ColdTier(shell.settings.layout).papers()
    if not papers:
        shell.say("nothing is in the cold tier")
        return 0
    heads = ("id", "what", "name", "bytes", "moved", "why", "where", "here until")
    rows = [
        (
            paper.paper_id,
            paper.target,
            paper.name,
            f"{paper.bytes:,}",
            event_date(paper.moved_at_ms),
            paper.why if paper.is_whole else "under way; the next sweep does it anew",
            f"{paper.place}/{paper.prefix}",
            event_date(paper.here_until_ms) if paper.here_until_ms is not None else "-",
        )
        for paper in papers
    ]
    shell.say(table([heads, *rows]))
    return 0


def _bring(arguments: argparse.Namespace, shell: Shell) -> int:
    _check_given(arguments, "id")
    paper = ColdTier(shell.settings.layout).bring(arguments.id, now_ms=shell.clock.now_ms())
    shell.say(f"{paper.name} of {paper.target} is here again for {LOAN_DAYS} days")
    for file in paper.files:
        shell.say(f"  {shell.settings.layout.root / file.path}")
    return 0


def _check_target(target: str, shell: Shell) -> None:
    """Refuse a hold that would keep nothing: whoever places it would rely on it."""
    from assets.retention import target_names
    from orchestration.environments import platform_of
    from orchestration.runs import Runs

    with Runs(shell.settings, shell.say) as runs:
        names = target_names(runs.declared, platform_of(shell.settings))
    if not any(fnmatchcase(name, target) for name in names):
        raise InvalidInputError(
            "a hold on that would keep nothing",
            found=f"no target of the report is called {target!r}",
            remedy=f"{or_near(target, names, 'name one of them')}; "
            "`throughline retention --dry-run` lists them, and a pattern such as 'events/*' names "
            "several",
        )


def _check_given(arguments: argparse.Namespace, *names: str) -> None:
    missing = [name for name in names if not getattr(arguments, name)]
    if missing:
        raise InvalidInputError(
            "something is missing",
            found="no " + ", ".join(missing),
            remedy="throughline retention --help",
            code="missing_argument",
        )
