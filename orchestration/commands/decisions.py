"""``decisions``: what another policy would have decided of the predictions that were made."""

import argparse
from datetime import date
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from core.clock import DAY_MS
from core.decision_diff import DecisionDiff, decision_diff
from core.decisions import Decider, DecisionPolicy, check_policy
from core.errors import InvalidInputError, NotReadyError
from core.use_case import UseCase
from orchestration.commands.predict import declared
from orchestration.commands.train import instant_ms
from orchestration.commands.why import when
from orchestration.recorded import recorded_predictions
from orchestration.shell import Shell, table

MAX_POLICY_BYTES = 1 << 20


class Other(NamedTuple):
    """The policy to decide by: what it is called, and ready to decide."""

    name: str
    decider: Decider


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    diff = actions.add_parser("diff", help="run recorded predictions through another policy")
    diff.add_argument("use_case", help="whose predictions")
    policy = diff.add_mutually_exclusive_group()
    policy.add_argument(
        "--policy", type=Path, metavar="FILE", help="YAML or JSON; default: the declared policy"
    )
    policy.add_argument(
        "--from-release", type=int, metavar="N", help="the policy in the bundle of release N"
    )
    diff.add_argument("--since", help="received at or after; a date or ISO 8601, UTC")
    diff.add_argument("--until", help="received before; a date counts whole")
    diff.epilog = "Reads only; nothing has to be running."


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Decide again, and print what would change."""
    use_case = declared(shell, arguments.use_case)
    other = other_policy(arguments, use_case, shell)
    from_ms, to_ms = span_ms(arguments.since, arguments.until)
    found = recorded_predictions(shell.settings.layout, use_case.name, from_ms=from_ms, to_ms=to_ms)
    diff = decision_diff(found, other.decider)
    if not diff.n and not diff.n_masked:
        raise NotReadyError(
            f"no predictions of {use_case.name} are recorded"
            + (" in that time" if arguments.since or arguments.until else ""),
            remedy="ask the service first, or take another home or time",
        )
    shell.say(diff_in_words(use_case.name, other, diff))
    return 0


def span_ms(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """First instant, and the one behind the last; InvalidInputError when nothing is between."""
    from_ms = None if since is None else instant_ms(since)
    to_ms = None if until is None else instant_ms(until)
    if to_ms is not None and until is not None and _is_date(until):
        to_ms += DAY_MS
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise InvalidInputError(
            "nothing lies between --since and --until",
            found=f"{since} to {until}",
            remedy="give the earlier one first",
        )
    return from_ms, to_ms


def _is_date(text: str) -> bool:
    """Whether a person wrote a date and no time of it, however ISO 8601 lets it be written."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def other_policy(arguments: argparse.Namespace, use_case: UseCase, shell: Shell) -> Other:
    """The policy that was asked for, its rules checked against the features it may read."""
    if arguments.from_release is not None:
        return _of_release(use_case, arguments.from_release, shell)
    from feature_store.plans import plan_for

    plan = plan_for(use_case, shell.settings.layout, is_kept=False)
    if arguments.policy is None:
        return Other("the declared policy", Decider.of(use_case.decisions, plan))
    policy = policy_of(arguments.policy)
    check_policy(policy)
    return Other(f"the policy in {arguments.policy.name}", Decider.of(policy, plan))


def _of_release(use_case: UseCase, release: int, shell: Shell) -> Other:
    from stores.shelf.bundle import read_manifest
    from stores.shelf.shelf import Shelf

    shelf = Shelf(shell.settings.layout.shelf)
    there = shelf.releases(use_case.name)
    if release not in there:
        raise InvalidInputError(
            f"there is no release {release} of {use_case.name}",
            found=f"releases {', '.join(map(str, there)) or 'none'}",
            remedy="name one of these",
        )
    manifest = read_manifest(shelf.bundle(use_case.name, release))
    name = f"the policy of release {release}"
    return Other(name, Decider.of(manifest.decisions, manifest.plan))


def policy_of(path: Path) -> DecisionPolicy:
    """Policy written in a file, as a bundle's manifest spells it.

    Raises
    ------
    InvalidInputError
        If it cannot be read, or is no policy; the message says where it is wrong.
    """
    import yaml

    try:
        with path.open("rb") as file:
            content = yaml.safe_load(file.read(MAX_POLICY_BYTES))
        return DecisionPolicy.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "the whole"
        found = f"{place}: {fault['msg']}"
    except OSError as error:
        found = error.strerror or type(error).__name__
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        found = " ".join(str(error).split())[:200]
    raise InvalidInputError(
        f"{path} holds no decision policy",
        found=found,
        remedy="write rules (decision, above or when, reason), default and default_reason",
    )


def diff_in_words(use_case: str, other: Other, diff: DecisionDiff) -> str:
    """A difference for a terminal."""
    policy = other.decider.policy
    head = f"{use_case}: {diff.n:,} recorded predictions"
    if diff.first_ms is not None and diff.last_ms is not None:
        releases = ", ".join(f"{n} ({count:,})" for n, count in sorted(diff.releases.items()))
        head += f", {when(diff.first_ms)} to {when(diff.last_ms)}, by release {releases}"
    lines = [head, f"decided again by {other.name} ({policy.digest[:12]})"]
    if diff.n:
        share = diff.n_changed / diff.n
        lines += ["", table(_matrix(policy, diff)), ""]
        lines.append(f"{diff.n_changed:,} of {diff.n:,} decisions change ({share:.2%})")
    if diff.n_changed:
        lines += ["", table(_changes(diff))]
    return "\n".join([*lines, *_notes(diff)])


def _matrix(policy: DecisionPolicy, diff: DecisionDiff) -> list[tuple[str, ...]]:
    """Recorded decisions down, new ones across."""
    recorded = {old for old, _ in diff.moves}
    decisions = dict.fromkeys((*policy.decisions, *sorted(recorded)))
    rows = [("recorded \\ new", *decisions, "total")]
    for old in decisions:
        counts = [diff.moves[old, new] for new in decisions]
        rows.append((old, *(f"{count:,}" for count in counts), f"{sum(counts):,}"))
    totals = [sum(diff.moves[old, new] for old in decisions) for new in decisions]
    return [*rows, ("total", *(f"{count:,}" for count in totals), f"{diff.n:,}")]


def _changes(diff: DecisionDiff) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("change", "count", "share", "new reasons", "such as")]
    for move, count in diff.changes():
        reasons = ", ".join(f"{code} {n:,}" for code, n in diff.reasons[move].most_common())
        share = f"{count / diff.n:.2%}"
        first, *others = diff.examples[move]
        rows.append((" -> ".join(move), f"{count:,}", share, reasons, first))
        rows += [("", "", "", "", example) for example in others]
    return rows


def _notes(diff: DecisionDiff) -> list[str]:
    notes = []
    if diff.n_other_reason:
        notes.append(f"{diff.n_other_reason:,} decisions stay, for another reason")
    if diff.n_degraded:
        notes.append(
            f"{diff.n_degraded:,} were answered degraded: what could not be read is missing"
        )
    if diff.n_unscored:
        notes.append(f"{diff.n_unscored:,} were answered without a score; they are left out")
    if diff.n_masked:
        notes.append(f"{diff.n_masked:,} hide an input that a rule reads; they are left out")
    notes += [
        f"{count:,} have no {name.replace(':', '.')}: it counts as missing"
        for name, count in sorted(diff.absent.items())
    ]
    return ["", *notes] if notes else []
