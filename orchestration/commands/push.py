"""``push``: one event to the service, durable before it answers, folded right after."""

import argparse
import secrets
from typing import Any

from core.contracts import Source
from core.errors import InvalidInputError
from orchestration.client import call
from orchestration.fields import values_of
from orchestration.shell import Shell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("source")
    parser.add_argument("field", nargs="*", help="card_id=c1 terminal_id=t9 amount_minor=1250")
    parser.add_argument("--id", help="event id; default a new one")
    parser.add_argument("--at", help="when it happened, ISO 8601; default now")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Send, and say what became of it."""
    from orchestration.commands.ingest import source_called
    from use_cases import discover

    source = source_called(arguments.source, discover(shell.settings.use_case_packages))
    event = event_of(source, arguments, shell)
    # It speaks the contract that is declared here, where there is more than one.
    speaks = str(source.major) if source.former else ""
    result = push(shell, source.name, event, contract=speaks)
    shell.say(f"{result['status']} at position {result['position']}: {event['event_id']}")
    shell.next("throughline predict USE_CASE ...; the event is in the next read")
    return 0


def event_of(source: Source, arguments: argparse.Namespace, shell: Shell) -> dict[str, Any]:
    """The event that the words say."""
    fields = values_of(arguments.field, {field.name: field for field in source.fields})
    return {
        "event_id": arguments.id or f"cli-{secrets.token_hex(8)}",
        "event_timestamp": arguments.at or shell.clock.now_ms(),
        **fields,
    }


def push(shell: Shell, source: str, event: dict[str, Any], *, contract: str = "") -> dict[str, Any]:
    """What the service did with one event; InvalidInputError when it was refused."""
    answer = call(shell, f"/v1/events/{source}", event, contract=contract)
    result: dict[str, Any] = answer["results"][0]
    if result["status"] == "rejected":
        raise InvalidInputError(
            f"the service refused the event ({result['code']})",
            found=f"{result.get('field') or 'the event'} {result['message']}",
            code=result["code"],
        )
    return result
