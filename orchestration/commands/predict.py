"""``predict``: a decision of the service, readable."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from core.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from core.contracts import FieldSpec
from core.errors import InvalidInputError
from core.nearest import or_near
from core.use_case import UseCase
from orchestration.channels import channels_of
from orchestration.client import call
from orchestration.fields import values_of
from orchestration.shell import Shell, table
from stores.shelf.bundle import read_manifest
from stores.shelf.shelf import Shelf


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("use_case")
    parser.add_argument("field", nargs="*", help="card_id=c1 terminal_id=t9 amount_minor=1250")
    parser.add_argument("--at", help="decide as of this instant, ISO 8601; default now")
    parser.add_argument(
        "--contract", metavar="VERSION", help="that the request speaks; default the newest served"
    )
    parser.add_argument("--no-explain", action="store_true", help="without contributions")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Ask, and print the answer."""
    use_case = declared(shell, arguments.use_case)
    body = request_of(use_case, arguments.field)
    body |= {"at": arguments.at, "explain": not arguments.no_explain}
    contract = arguments.contract or newest_contract(shell, use_case.name)
    answer = call(shell, f"/v1/{use_case.name}/predictions", body, contract=contract)
    shell.say(answer_in_words(answer))
    if answer["prediction_id"]:
        shell.next(f"throughline why {answer['prediction_id']}")
    return 0


def newest_contract(shell: Shell, use_case: str) -> str:
    """The champion's, where an older one is answered too and so is what silence means."""
    state = channels_of(shell).state(use_case)
    if state.champion is None or not state.older:
        return ""
    bundle = Shelf(shell.settings.layout.shelf).bundle(use_case, state.champion)
    return read_manifest(bundle).contract.version


def declared(shell: Shell, name: str) -> UseCase:
    """Declaration of a use case; InvalidInputError naming those there are."""
    from use_cases import discover

    use_cases = discover(shell.settings.use_case_packages)
    if name not in use_cases:
        raise InvalidInputError(
            f"there is no use case called {name[:60]!r}",
            found=f"use cases {', '.join(use_cases)}",
            remedy=or_near(name, use_cases),
            code="unknown_use_case",
        )
    return use_cases[name]


def request_of(use_case: UseCase, words: Sequence[str]) -> dict[str, Any]:
    """Body of a request from ``name=value`` words, typed by the examples' contract."""
    source = use_case.source(use_case.label.example_source)
    specs: dict[str, FieldSpec] = {field.name: field for field in source.fields}
    values = values_of(words, specs)
    keys = {key for names in use_case.entities.values() for key in names}
    return {
        "entities": {name: value for name, value in values.items() if name in keys},
        "inputs": {name: value for name, value in values.items() if name not in keys},
    }


def answer_in_words(answer: Mapping[str, Any]) -> str:
    """An answer for a terminal."""
    model = answer["model"]
    reasons = answer["reasons"]
    lines = [
        f"{answer['decision']}  {score_in_words(answer['score'])}  ({reasons[0]['code']})",
        f"  by {model['name']} release {model['release']}, {model['channel']}; "
        + (f"id {record_id}" if (record_id := answer["prediction_id"]) else "no record is kept"),
    ]
    pushed = [reason for reason in reasons if "contribution" in reason]
    if pushed:
        rows = [("feature", "value", "log-odds")]
        rows += [(r["feature"], number(r["value"]), f"{r['contribution']:+.3f}") for r in pushed]
        lines.append(table(rows, indent=4))
    if answer["degraded"]:
        lines.append(f"  degraded: {answer['degraded']['level']}, {answer['degraded']['because']}")
    seen = ", ".join(f"{view} {state(f)}" for view, f in answer["features"].items())
    lines.append(f"  features: {seen}")
    return "\n".join(lines)


def score_in_words(score: float | None, digits: int = 4) -> str:
    """A score for a terminal; none where no model could give one."""
    return "no score" if score is None else f"score {score:.{digits}f}"


def number(value: float | None) -> str:
    """A feature's value for a terminal."""
    return "null" if value is None else f"{value:,.6g}"


def state(feature: Mapping[str, Any]) -> str:
    """Status and age of a view for a terminal."""
    age = feature["age_ms"]
    return feature["status"] if age is None else f"{feature['status']} ({duration(age)})"


def duration(span_ms: float) -> str:
    """A span of time for a terminal: in the unit a person would say.

    Examples
    --------
    >>> duration(150), duration(90_000), duration(61 * 86_400_000)
    ('0.1 s', '1.5 min', '61.0 days')
    """
    for unit, name in ((DAY_MS, "days"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if span_ms >= unit:
            return f"{span_ms / unit:,.1f} {name}"
    return f"{span_ms / SECOND_MS:.1f} s"
