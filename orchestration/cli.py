"""The command line: finds the command, reads the environment, says errors in words.

Every command is a module of ``orchestration.commands`` with ``add_arguments(parser)`` and
``run(arguments, shell) -> int``; it is imported when it is called and not before, so that
help is instant. Exit codes: 0 done, 1 failed, 2 asked wrongly, 3 not ready or overloaded
(try again), 4 bytes are not what was signed, 130 interrupted.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from core.errors import (
    ConfigurationError,
    DependencyError,
    IntegrityError,
    InvalidInputError,
    NotReadyError,
    OverloadedError,
    PlatformError,
)
from orchestration.third_parties import quieten


class Command(NamedTuple):
    """A command: its name, the module that runs it, one line of help."""

    name: str
    module: str
    help: str


COMMANDS = (
    Command("demo", "demo", "from nothing to an explained decision, step by step"),
    Command("up", "up", "start UI, daemon, folder, controller and service; Ctrl-C stops all"),
    Command("status", "status", "what is there: rows, releases, channels, pending work"),
    Command("simulate", "simulate", "write landing files of a made-up world of card payments"),
    Command("ingest", "ingest", "take a file into a source's log and its table"),
    Command("rejects", "rejects", "list or replay the records that a contract refused"),
    Command("backfill", "backfill", "compute the tiles of a range of event dates"),
    Command("materialise", "materialise", "write the online values of all views"),
    Command("train", "train", "training set, candidates, bundle and release of a use case"),
    Command("approve", "approve", "approve a release and have it served"),
    Command("score", "score", "batch scores of a use case as of a date"),
    Command("snapshot", "snapshot", "rebuild a training set and compare it bit for bit"),
    Command("rollback", "rollback", "ask for the former champion, or a given release, back"),
    Command("predict", "predict", "ask the service for a decision"),
    Command("push", "push", "send one event to the service"),
    Command("why", "why", "explain a decision by its id"),
    Command("replay", "replay", "score a recorded decision again and compare"),
)
EXIT_CODES: dict[type[BaseException], int] = {
    PlatformError: 1,
    DependencyError: 1,
    ConfigurationError: 2,
    InvalidInputError: 2,
    NotReadyError: 3,
    OverloadedError: 3,
    IntegrityError: 4,
}
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Parser whose complaint ends with where to read on."""

    def error(self, message: str) -> NoReturn:
        """Say what was asked wrongly, and leave with 2."""
        sys.stderr.write(f"error: {message}\n")
        sys.stderr.write(f"Read `{self.prog} --help`.\n")
        raise SystemExit(2)


def overview() -> str:
    """Every command with its line of help."""
    width = max(len(command.name) for command in COMMANDS)
    lines = ["usage: throughline COMMAND [--home DIR] ...", ""]
    lines += [f"  {command.name.ljust(width)}  {command.help}" for command in COMMANDS]
    lines += ["", "`throughline COMMAND --help` tells more of one command."]
    return "\n".join(lines)


def exit_code_of(error: BaseException) -> int:
    """Exit code of an error: that of its nearest ancestor in the table."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), 1)


def parser_of(command: Command) -> argparse.ArgumentParser:
    """Parser of one command, its module imported."""
    parser = Parser(prog=f"throughline {command.name}", description=command.help)
    parser.add_argument("--home", help="folder of all state (default .throughline)")
    importlib.import_module(f"orchestration.commands.{command.module}").add_arguments(parser)
    return parser


def run(command: Command, words: Sequence[str]) -> int:
    """Run one command; its exit code."""
    from orchestration.settings import Settings
    from orchestration.shell import Shell

    arguments = parser_of(command).parse_args(words)
    environment = dict(os.environ)
    settings = Settings.read(environment, home=arguments.home)
    module = importlib.import_module(f"orchestration.commands.{command.module}")
    code: int = module.run(arguments, Shell(settings, environment))
    return code


def main(words: Sequence[str] | None = None) -> int:
    """Entry of ``throughline``; errors of ours leave as words, never as a trace."""
    given = list(sys.argv[1:] if words is None else words)
    quieten(os.environ)
    if not given or given[0] in {"-h", "--help", "help"}:
        sys.stdout.write(overview() + "\n")
        return 0
    command = next((command for command in COMMANDS if command.name == given[0]), None)
    if command is None:
        sys.stderr.write(f"error: there is no command {given[0][:40]!r}\n\n{overview()}\n")
        return 2
    try:
        return run(command, given[1:])
    except PlatformError as error:
        sys.stderr.write(f"error: {error}\n")
        return exit_code_of(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was left running\n")
        return INTERRUPTED
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
