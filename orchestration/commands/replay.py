"""``replay``: a recorded decision computed again and compared.

By the service, from the recorded values; or, with ``--from-tables``, here and without the
service: every value from the tables as its read had seen them, then all that follows from it.
"""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestration.client import call, record_path
from orchestration.commands.predict import score_in_words
from orchestration.shell import Shell

if TYPE_CHECKING:
    from training.served_parity import Difference, Parity

UNEQUAL = 1
UNREPLAYABLE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("id", help="prediction_id of an answer")
    parser.add_argument(
        "--from-tables",
        action="store_true",
        help="compute every value again from the tables, as its read had seen them",
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Replay, and say whether it came out the same: 0; 1 when not, 3 when it cannot be told."""
    if arguments.from_tables:
        parity = from_tables(shell, arguments.id)
        shell.say(parity_in_words(parity))
        return code_of(parity)
    replayed = call(shell, f"{record_path(arguments.id)}/replay")
    shell.say(replay_in_words(replayed))
    return 0 if replayed["is_equal"] else UNEQUAL


def from_tables(shell: Shell, record_id: str) -> "Parity":
    """The record compared with what the tables say."""
    from stores.masking import ensure_mask
    from stores.records.finding import found_record
    from training.served_parity import bundles_on, served_parity

    layout = shell.settings.layout
    record = found_record(layout, record_id)
    return served_parity({record_id: record}, bundles_on(layout), layout, ensure_mask(layout.keys))


def code_of(parity: "Parity") -> int:
    """Exit code: what is unequal stays so, whatever else cannot be told."""
    if not parity.is_equal:
        return UNEQUAL
    return UNREPLAYABLE if parity.unreplayable else 0


def parity_in_words(parity: "Parity") -> str:
    """A comparison with the tables for a terminal."""
    verdict = {0: "equal", UNEQUAL: "NOT EQUAL", UNREPLAYABLE: "unreplayable in part"}
    compared = f"{parity.values} values compared, {parity.one_ulp} one float32 ulp apart"
    lines = [f"{verdict[code_of(parity)]}: {compared}"]
    lines += [f"  {_difference(each)}" for each in parity.examples]
    lines += [f"  not compared, {count} times: {why}" for why, count in parity.unreplayable.items()]
    return "\n".join(lines)


def _difference(each: "Difference") -> str:
    what = f"{each.where} {each.name}".rstrip()
    return f"{what}: served {_value(each.recorded)}, the tables say {_value(each.recomputed)}"


def _value(value: float | str | None) -> str:
    return "null" if value is None else str(value)


def replay_in_words(replayed: Mapping[str, Any]) -> str:
    """A replay for a terminal."""
    verdict = "equal" if replayed["is_equal"] else "NOT EQUAL"
    was, now = replayed["recorded"], replayed["replayed"]
    lines = [
        f"{verdict}: recorded {was['decision']} {score_in_words(was['score'], 9)}, "
        f"replayed {now['decision']} {score_in_words(now['score'], 9)}"
    ]
    lines += [f"  {difference}" for difference in replayed["differences"]]
    if replayed["unreplayable"]:
        names = ", ".join(replayed["unreplayable"]["names"])
        lines.append(f"  taken as recorded, for {replayed['unreplayable']['why']}: {names}")
    return "\n".join(lines)
