"""``alerts``: what is wrong, by cause, with what to do about it; and somebody's word on it."""

import argparse

from core.clock import DAY_MS, event_date
from core.monitoring.alerts import Alert
from orchestration.commands.predict import duration
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell
from stores.audit.user import user_name
from stores.monitoring.alerts import KEPT_MS, Alerts

OPEN_ONES = 1
"""Exit code when something is wrong that nobody has acknowledged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--all", action="store_true", help="those that are over, too")
    parser.epilog = (
        "Without an action it reads only. Exit code 1 when an alert is open that nobody has "
        "acknowledged, 0 when none is."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    word = actions.add_parser("acknowledge", help="say that you see to an open alert")
    word.add_argument("key", help="its cause, as events/transactions, or its id")
    word.add_argument(
        "--because", required=True, type=reason_on_paper, help="what you know, or what you do"
    )
    word.add_argument("--who", type=name_on_paper, help="default the user's name")
    word.epilog = (
        "It stays in the list, and is not sent again until it gets worse or is over. What is over "
        "and comes back is another alert."
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """List alerts, the worst first, or acknowledge one."""
    if arguments.action == "acknowledge":
        return _acknowledge(arguments, shell)
    return _list(arguments, shell)


def _acknowledge(arguments: argparse.Namespace, shell: Shell) -> int:
    from use_cases import discover

    now_ms = shell.clock.now_ms()
    alert = Alerts(shell.settings.layout.alerts).acknowledge(
        arguments.key,
        who=arguments.who or user_name(),
        because=arguments.because,
        now_ms=now_ms,
        use_cases=discover(shell.settings.use_case_packages),
    )
    shell.say(in_words(alert, now_ms))
    shell.say("\nnot sent again until it gets worse, or is over")
    return 0


def _list(arguments: argparse.Namespace, shell: Shell) -> int:
    alerts, now_ms = Alerts(shell.settings.layout.alerts), shell.clock.now_ms()
    found = alerts.open()
    for alert in found:
        shell.say(in_words(alert, now_ms))
    over = [alert for alert in alerts.all() if not alert.is_open] if arguments.all else []
    for alert in over:
        shell.say(f"over      {alert.sentence()} ({event_date(alert.first_ms)})")
    if not found:
        shell.say("no alert is open")
    if arguments.all and not over:
        shell.say(f"none was over in the last {KEPT_MS // DAY_MS} days")
    waiting = [alert for alert in found if alert.word is None]
    if waiting:
        shell.next(f"throughline alerts acknowledge {waiting[0].cause} --because '...'")
    return OPEN_ONES if waiting else 0


def in_words(alert: Alert, now_ms: int) -> str:
    """An alert for a terminal: how bad, since when, who sees to it, why, what to do."""
    told = "told" if alert.told_ms is not None else "told nobody"
    since = duration(now_ms - alert.first_ms)
    lines = [f"{alert.severity:<9} {alert.cause}, for {since}, {told}, id {alert.alert_id}"]
    given = alert.acknowledged
    if given is not None:
        ago = duration(now_ms - given.at_ms)
        worse = "" if given.void_ms is None else "; it got worse since, and is open again"
        lines.append(f"          acknowledged by {given.who} {ago} ago: {given.because}{worse}")
    lines += [f"          {found.key}: {found.why or 'failed'}" for found in alert.findings]
    return "\n".join([*lines, f"          do: {alert.runbook}"])
