"""``snapshot``: which training sets there are and whom they name; one built again, bit for bit."""

import argparse

from pydantic import BaseModel, ValidationError

from core.contracts import Source
from core.errors import InvalidInputError, NotReadyError
from core.features.plan import Plan
from core.plural import counted
from core.use_case import Label
from orchestration.shell import Shell, table
from stores.masking import is_masked

IN_CLEAR = "in clear"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", choices=("list", "rebuild"))
    parser.add_argument("id", nargs="?", help="snapshot id, or a beginning of it")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """List what can be rebuilt, or rebuild one; an id that comes out different is an error."""
    known = snapshots(shell)
    if arguments.action == "list":
        return _list(shell, known)
    if not arguments.id:
        raise InvalidInputError("say which snapshot", remedy="throughline snapshot list")
    use_case, snapshot = one_called(arguments.id, known)
    rebuild(shell, use_case, snapshot)
    return 0


def _list(shell: Shell, known: list[tuple[str, str]]) -> int:
    there = {name: _there(shell, name) for name, _ in known}
    rows = [
        (name, snapshot, "yes" if snapshot in there[name] else "no", _keys(shell, name, snapshot))
        for name, snapshot in known
    ]
    head = ("use case", "snapshot", "rows are there", "personal join keys")
    shell.say(table([head, *rows]) if rows else "nothing was frozen yet")
    in_clear = [row for row in rows if row[2] == "yes" and IN_CLEAR in row[3]]
    if in_clear:
        shell.say(
            f"\n{counted(len(in_clear), 'snapshots')} from before keys were masked: "
            "`throughline subject` finds people in them, `throughline forget` takes them out, "
            "`throughline retention --dry-run` says when they go"
        )
    shell.next("throughline snapshot rebuild ID")
    return 0


def _there(shell: Shell, use_case: str) -> set[str]:
    """Snapshots whose rows are in the table still: papers stay for good."""
    from assets.tables import is_table, partition_facts

    uri = shell.settings.layout.training(use_case)
    return {fact.value for fact in partition_facts(uri, "snapshot")} if is_table(uri) else set()


def _keys(shell: Shell, use_case: str, snapshot: str) -> str:
    """Which join keys of people are masked in a snapshot, and which are not."""
    path = shell.settings.layout.snapshots / use_case / f"{snapshot}.json"
    try:
        paper = _Paper.model_validate_json(path.read_bytes())
    except ValidationError:
        return "not on record"
    masked = paper.masked_keys or ()
    clear = [name for name in paper.personal if name not in masked]
    said = {"masked": ", ".join(masked), IN_CLEAR: ", ".join(clear)}
    return "; ".join(f"{how}: {names}" for how, names in said.items() if names) or "none"


class _Paper(BaseModel):
    """What is read here of the arguments that a snapshot was built with."""

    plan: Plan
    label: Label
    sources: tuple[Source, ...]
    masked_keys: tuple[str, ...] | None = None

    @property
    def personal(self) -> list[str]:
        """Join keys that the examples' source declares to be a person's."""
        examples = [each for each in self.sources if each.name == self.label.example_source]
        kinds = {field.name: field for source in examples for field in source.fields}
        keys = dict.fromkeys(key for keys in self.plan.entities.values() for key in keys)
        return [key for key in keys if key in kinds and is_masked(kinds[key])]


def snapshots(shell: Shell) -> list[tuple[str, str]]:
    """Use case and id of every snapshot whose making is on record."""
    folder = shell.settings.layout.snapshots
    return sorted((path.parent.name, path.stem) for path in folder.glob("*/*.json"))


def one_called(start: str, known: list[tuple[str, str]]) -> tuple[str, str]:
    """The one snapshot whose id begins so."""
    found = [pair for pair in known if pair[1].startswith(start)]
    if len(found) != 1:
        raise NotReadyError(
            f"there is no snapshot {start[:40]!r}" if not found else f"{start!r} is not unique",
            found=f"{len(found)} of {len(known)} snapshots begin so",
            remedy="throughline snapshot list",
            code="unknown_snapshot",
        )
    return found[0]


def rebuild(shell: Shell, use_case: str, snapshot: str) -> None:
    """Build again from the recorded versions; the job refuses another id."""
    from orchestration.rebuild import JOB, OP
    from orchestration.runs import Runs

    config = {"ops": {OP: {"config": {"use_case": use_case, "snapshot": snapshot}}}}
    with Runs(shell.settings, shell.say) as runs, shell.step(f"rebuild {snapshot}") as step:
        report = runs.job(JOB, config).only_output
        step.detail = f"{report['rows']:,} rows, the same id: equal bit for bit"
