"""A command of ours as a person would type it, run in this process on the same home."""

import importlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from orchestration.shell import Shell


def _nothing(line: str) -> bool:
    del line
    return False


@dataclass
class Terse(Shell):
    """Says what a command says, but for the lines that it ``hides``."""

    hides: Callable[[str], bool] = _nothing

    def say(self, text: str = "") -> None:
        """One line to the reader, unless it is hidden."""
        if not self.hides(text):
            super().say(text)


def typed(shell: Shell, *words: str, hides: Callable[[str], bool] = _nothing) -> int:
    """Say the command, then what it says; its exit code."""
    from orchestration.cli import COMMANDS, parser_of

    command = next(each for each in COMMANDS if each.name == words[0])
    shell.say(f"\n$ throughline {shlex.join(words)}")
    arguments = parser_of(command).parse_args(words[1:])
    module = importlib.import_module(f"orchestration.commands.{command.module}")
    terse = Terse(shell.settings, shell.environment, shell.clock, shell.out, hides)
    code: int = module.run(arguments, terse)
    return code
