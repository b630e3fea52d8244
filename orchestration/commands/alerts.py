"""``alerts``: what is wrong, by cause, with what to do about it."""

import argparse

from core.alerts import Alert
from core.clock import event_date
from orchestration.commands.predict import duration
from orchestration.shell import Shell
from stores.alerts import Alerts

OPEN_ONES = 1
"""Exit code when something is wrong."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--all", action="store_true", help="those that are over, too")
    parser.epilog = "Reads only. Exit code 1 when an alert is open, 0 when none is."


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """List alerts, the worst first."""
    alerts, now_ms = Alerts(shell.settings.layout.alerts), shell.clock.now_ms()
    found = alerts.open()
    for alert in found:
        shell.say(in_words(alert, now_ms))
    over = [alert for alert in alerts.all() if not alert.is_open] if arguments.all else []
    for alert in over:
        shell.say(f"over      {alert.sentence()} ({event_date(alert.first_ms)})")
    if not found:
        shell.say("no alert is open")
    return OPEN_ONES if found else 0


def in_words(alert: Alert, now_ms: int) -> str:
    """An alert for a terminal: how bad, since when, why, what to do."""
    told = "told" if alert.told_ms is not None else "told nobody"
    lines = [f"{alert.severity:<9} {alert.cause}, for {duration(now_ms - alert.first_ms)}, {told}"]
    lines += [f"          {found.key}: {found.why or 'failed'}" for found in alert.findings]
    return "\n".join([*lines, f"          do: {alert.runbook}"])
