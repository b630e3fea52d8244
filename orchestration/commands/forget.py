"""``forget``: erase a person everywhere, show what that would touch, verify what was certified."""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from core.erasing.erasure import Certificate, Tombstone
from core.erasing.sought import Sought
from core.errors import InvalidInputError
from core.plural import counted, listed
from orchestration.commands.subject import entity_of
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell, table
from stores.audit.user import user_name

if TYPE_CHECKING:
    from orchestration.erasing.forgetting import Erasing

ACTIONS = ("erase", "verify", "list")
SHOWN = 20
STANDARD_INPUT = "-"
LEFT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="erase")
    parser.add_argument("certificate", nargs="?", type=Path, help="file to verify")
    parser.add_argument(
        "--entity", help="join key and value: card_id=...; card_id=- reads it from standard input"
    )
    parser.add_argument("--why", type=reason_on_paper, help="the reason; it must not name them")
    parser.add_argument("--who", type=name_on_paper, help="your name; default the user's")
    parser.add_argument(
        "--also", action="append", default=[], type=Path, help="another folder, such as a backup"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what it is about; no change")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Erase, verify a certificate, or list erasures."""
    if arguments.action == "verify":
        return _verify(arguments, shell)
    if arguments.action == "list":
        return _list(shell)
    _check_given(arguments)
    erasing = erasing_of(arguments, shell)
    return _dry_run(erasing, shell) if arguments.dry_run else _erase(erasing, arguments, shell)


def erasing_of(arguments: argparse.Namespace, shell: Shell) -> "Erasing":
    """What is to be done; the identifier is nowhere but in here."""
    from orchestration.environments import code_version
    from orchestration.erasing.forgetting import Erasing
    from orchestration.erasing.models import folders_besides
    from stores.masking import ensure_mask
    from use_cases import discover

    settings = shell.settings
    use_cases = discover(settings.use_case_packages)
    key, given = entity_of(arguments.entity, use_cases.values())
    identifier = _read_in(key, shell) if given == STANDARD_INPUT else given
    token = ensure_mask(settings.layout.keys).of(identifier)
    sought = Sought(identifier, [token])
    if any(sought.is_in(text) for text in (arguments.why, arguments.who, str(arguments.also))):
        raise InvalidInputError(
            "the identifier stands in what would be kept for good",
            remedy="say who and why without it, and name folders otherwise",
            code="identifier_on_paper",
        )
    return Erasing(
        settings,
        sought,
        Tombstone(key=key, token=token, at_ms=shell.clock.now_ms()),
        use_cases=list(use_cases),
        others=folders_besides(settings, arguments.also),
        code_version=code_version(),
        told=lambda words: shell.say(f"  {words}"),
    )


def _read_in(key: str, shell: Shell) -> str:
    if sys.stdin.isatty():
        shell.say(f"{key}, on one line:")
    return sys.stdin.readline().strip()


def _check_given(arguments: argparse.Namespace) -> None:
    wanted = ("entity",) if arguments.dry_run else ("entity", "why")
    missing = [f"--{name}" for name in wanted if not getattr(arguments, name)]
    if missing:
        raise InvalidInputError(
            "something is missing",
            found="no " + ", ".join(missing),
            remedy="throughline forget --help",
            code="missing_argument",
        )


def _dry_run(erasing: "Erasing", shell: Shell) -> int:
    from orchestration.erasing.models import trained_on

    with shell.step("search everything") as step:
        found, searched = erasing.search()
        step.detail = listed(searched)
    root = erasing.layout.root
    places: Counter[str] = Counter()
    for sighting in found:
        path = Path(sighting.place)
        is_below = path.is_relative_to(root)
        place = "/".join(path.relative_to(root).parts[:3]) if is_below else sighting.place
        places[erasing.place_of(sighting._replace(place=place)).partition(":")[0]] += sighting.times
    rows = [(place, f"{n:,}") for place, n in sorted(places.items())]
    shell.say(table([("where", "times"), *rows]) if rows else "it stands nowhere")
    for model in trained_on(erasing.settings, erasing.sought):
        shell.say(f"release {model.release} of {model.use_case} was trained on it: {model.flag}")
    shell.say("\nnothing was changed")
    return 0


def _erase(erasing: "Erasing", arguments: argparse.Namespace, shell: Shell) -> int:
    who = arguments.who or user_name()
    certificate, path = erasing.run(who=who, why=arguments.why, now_ms=shell.clock.now_ms)
    for line in in_words(certificate):
        shell.say(line)
    shell.say(f"\ncertificate: {path}")
    if certificate.is_complete:
        shell.next(f"throughline forget verify {path}")
        return 0
    shell.next("see `docs/erasure.md` for what is left, and run the same command again")
    return LEFT


def in_words(certificate: Certificate) -> list[str]:
    """What a certificate says."""
    searched = listed(certificate.searched)
    lines = [f"\nsearched {searched}: found in {counted(len(certificate.left), 'places')}"]
    lines += [f"  left in {place}" for place in certificate.left[:SHOWN]]
    lines += [f"  held: {step.name}, {step.held}" for step in certificate.steps if step.held]
    for model in certificate.models:
        served = ", which serves or can be gone back to" if model.is_served else ""
        lines.append(
            f"  release {model.release} of {model.use_case}{served}, was trained on them: "
            f"{model.flag}"
        )
    return lines


def _verify(arguments: argparse.Namespace, shell: Shell) -> int:
    from stores.erasing.erasures import verified
    from stores.keys.signing import KeyRing

    if arguments.certificate is None:
        raise InvalidInputError("no certificate was named", remedy="throughline forget verify FILE")
    certificate = verified(
        arguments.certificate, KeyRing.from_directory(shell.settings.layout.keys)
    )
    shell.say(f"signed by this home: {certificate.tombstone.key} {certificate.tombstone.token}")
    for step in certificate.steps:
        counts = listed(step.counts)
        shell.say(f"  {step.name}: {step.held or counts or 'nothing'}")
    for line in in_words(certificate):
        shell.say(line)
    shell.say("complete" if certificate.is_complete else "not complete")
    return 0 if certificate.is_complete else LEFT


def _list(shell: Shell) -> int:
    from stores.erasing.erasures import Erasures

    erasures = Erasures(shell.settings.layout)
    rows = [("key", "token", "by", "state", "certificate")]
    for journal in erasures.all():
        certificates = erasures.certificates(journal.tombstone.erasure_id)
        state = (
            "over" if journal.is_over else f"cut short after {counted(len(journal.done), 'steps')}"
        )
        last = str(certificates[-1]) if certificates else "-"
        stone = journal.tombstone
        rows.append((stone.key, stone.token, journal.who, state, last))
    shell.say(table(rows) if len(rows) > 1 else "nobody was forgotten here")
    return 0
