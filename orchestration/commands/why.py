"""``why``: the record of a decision, with what pushed the score and what was known."""

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.decisions import Rule
from orchestration.client import call, record_path, service_address
from orchestration.commands.predict import number, score_in_words, state
from orchestration.shell import Shell, table

SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("id", help="prediction_id of an answer")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Fetch the record and print it, and say where it stands as a page."""
    shell.say(record_in_words(fetch(shell, arguments.id)))
    shell.say(f"\n  as a page: {service_address(shell)}{record_path(arguments.id)}")
    shell.next(f"throughline replay {arguments.id}")
    return 0


def fetch(shell: Shell, record_id: str) -> Mapping[str, Any]:
    """The record, explained."""
    record: Mapping[str, Any] = call(shell, f"{record_path(record_id)}?explain=true")
    return record


def record_in_words(record: Mapping[str, Any]) -> str:
    """A record for a terminal."""
    model = record["model"]
    lines = [
        f"{record['decision']}  {score_in_words(record['score'], 6)}  ({record['reason']})",
        f"  {rule_in_words(record)}",
        f"  decided {when(record['at_ms'])} by {model['name']} release {model['release']} "
        f"({model['channel']}, {model['kind']}, manifest {model['manifest_digest'][:12]})",
        f"  about {said(record['entities'])}",
        f"  asked {said(record['inputs'])}",
        *_explained(record),
        "",
        "  known then:",
        table([_view_row(view, read) for view, read in record["features"].items()], indent=4),
    ]
    if record["degraded"]:
        lines.append(f"  degraded: {said(record['degraded'])}")
    return "\n".join(lines)


def rule_in_words(record: Mapping[str, Any]) -> str:
    """The rule that decided, as it was declared; records of before there were any say none."""
    place, rules = record.get("rule"), record.get("policy", {}).get("rules", ())
    if place is None:
        return f"by default: none of {len(rules)} rules was true" if rules else "by default"
    rule = Rule.model_validate(rules[place])
    return f"by rule {place + 1} of {len(rules)}: {rule.text}"


def _explained(record: Mapping[str, Any]) -> list[str]:
    explanation = record.get("explanation") or {}
    if explanation.get("status") != "exact":
        return ["", f"  no explanation: {explanation.get('status', 'none was asked for')}"]
    pushed = sorted(
        explanation["contributions"].items(), key=lambda item: abs(item[1]), reverse=True
    )
    values = values_by_name(record)
    rows = [("feature", "value", "log-odds")]
    rows += [(name, number(values.get(name)), f"{by:+.4f}") for name, by in pushed[:SHOWN]]
    rest = sum(by for _, by in pushed[SHOWN:])
    rows.append((f"{max(len(pushed) - SHOWN, 0)} others", "", f"{rest:+.4f}"))
    rows.append(("base", "", f"{explanation['base']:+.4f}"))
    return ["", "  what pushed the score:", table(rows, indent=4)]


def values_by_name(record: Mapping[str, Any]) -> dict[str, float | None]:
    """Every value that was known, by qualified name."""
    values: dict[str, float | None] = dict(record["transforms"])
    for view, read in record["features"].items():
        values |= {f"{view}:{name}": value for name, value in read["values"].items()}
    return values


def _view_row(view: str, read: Mapping[str, Any]) -> tuple[str, ...]:
    some = [f"{name} {number(value)}" for name, value in read["values"].items()]
    return (view, state(read), ", ".join(some[:4]) + (" ..." if len(some) > 4 else ""))


def said(mapping: Mapping[str, Any]) -> str:
    """Names and values on one line."""
    return ", ".join(f"{name} {value}" for name, value in mapping.items())


def when(instant_ms: int) -> str:
    """An instant for a person."""
    return datetime.fromtimestamp(instant_ms / 1_000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
