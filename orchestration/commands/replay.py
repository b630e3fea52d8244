"""``replay``: the recorded vector scored again by the recorded release, compared."""

import argparse
from collections.abc import Mapping
from typing import Any

from orchestration.client import call, record_path
from orchestration.shell import Shell

UNEQUAL = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("id", help="prediction_id of an answer")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Replay, and say whether it came out the same; 1 when it did not."""
    replayed = call(shell, f"{record_path(arguments.id)}/replay")
    shell.say(replay_in_words(replayed))
    return 0 if replayed["is_equal"] else UNEQUAL


def replay_in_words(replayed: Mapping[str, Any]) -> str:
    """A replay for a terminal."""
    verdict = "equal" if replayed["is_equal"] else "NOT EQUAL"
    was, now = replayed["recorded"], replayed["replayed"]
    lines = [
        f"{verdict}: recorded {was['decision']} {was['score']:.9f}, "
        f"replayed {now['decision']} {now['score']:.9f}"
    ]
    lines += [f"  {difference}" for difference in replayed["differences"]]
    return "\n".join(lines)
