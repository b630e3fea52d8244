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
from collections.abc import Callable, Sequence
from pathlib import Path
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
from core.nearest import nearest
from core.scrubbing import Scrubber, secrets_of
from orchestration.streams import open_to_any_text
from orchestration.third_parties import quieten

IN_CHILD = "--in-child"


class Command(NamedTuple):
    """A command: its name, the module that runs it, one line of help.

    A supervised one does long work and is run in a child, so that Ctrl-C ends all of it.
    One that takes fields (``name=value ...``) takes them on either side of its options. One that
    needs a home is refused where none is: "no alert" of a misspelt folder would be a lie.
    """

    name: str
    module: str
    help: str
    is_supervised: bool = False
    takes_fields: bool = False
    needs_home: bool = False


COMMANDS = (
    Command(
        "demo", "demo", "from nothing to an explained decision, step by step", is_supervised=True
    ),
    Command("new", "new", "write the declaration of a use case, to be made your own"),
    Command("up", "up", "start pages, daemon, folder, controller and service; Ctrl-C stops all"),
    Command("console", "console", "start the console alone: pages for people, by key"),
    Command("status", "status", "what is there: rows, releases, channels, pending work"),
    Command("simulate", "simulate", "write landing files of a made-up world of card payments"),
    Command(
        "ingest", "ingest", "take a file into a source's log and its table", is_supervised=True
    ),
    Command(
        "rejects",
        "rejects",
        "list or replay the records that a contract refused",
        is_supervised=True,
    ),
    Command(
        "backfill", "backfill", "compute the tiles of a range of event dates", is_supervised=True
    ),
    Command(
        "materialise", "materialise", "write the online values of all views", is_supervised=True
    ),
    Command("views", "views", "versions of features: who reads them, and how they differ"),
    Command(
        "train",
        "train",
        "training set, candidates, bundle and release of a use case",
        is_supervised=True,
    ),
    Command("retraining", "retraining", "whether it would be trained again now, and why (not)"),
    Command("releases", "releases", "list releases, what served at an instant, model cards"),
    Command("approve", "approve", "approve a release and have it served"),
    Command("score", "score", "batch scores of a use case as of a date", is_supervised=True),
    Command(
        "snapshot",
        "snapshot",
        "training sets and whom they name; one rebuilt and compared bit for bit",
        is_supervised=True,
    ),
    Command(
        "retention",
        "retention",
        "remove what has had its time, or show it; legal holds",
        is_supervised=True,
        needs_home=True,
    ),
    Command("subject", "subject", "find every place where a person's identifier stands"),
    Command(
        "forget", "forget", "erase a person everywhere, with a signed certificate", needs_home=True
    ),
    Command("lineage", "lineage", "what a thing was made of, and what is made of it"),
    Command("backup", "backup", "copy everything of a home while it works"),
    Command("restore", "restore", "make a home of a backup"),
    Command("rollout", "rollout", "start, watch, hold, promote or take back a gradual rollout"),
    Command("rollback", "rollback", "ask for the former champion, or a given release, back"),
    Command("predict", "predict", "ask the service for a decision", takes_fields=True),
    Command("push", "push", "send one event to the service", takes_fields=True),
    Command("why", "why", "explain a decision by its id"),
    Command("decisions", "decisions", "show what another policy would have decided"),
    Command(
        "alerts",
        "alerts",
        "list what is wrong, by cause, with what to do about it",
        needs_home=True,
    ),
    Command("keys", "keys", "create, list, rotate and revoke keys to the service"),
    Command("signing", "signing", "list, rotate and revoke the keys that sign", needs_home=True),
    Command("audit", "audit", "verify and list who did what, when and why", needs_home=True),
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


def unknown(word: str) -> str:
    """What is said of a command that there is not: the one that was meant, else all."""
    near = nearest(word, [command.name for command in COMMANDS])
    said = f"did you mean `throughline {near}`? `throughline` alone lists all" if near else ""
    return f"error: there is no command {word[:40]!r}{f'; {said}' if said else ''}\n" + (
        "" if near else f"\n{overview()}\n"
    )


def exit_code_of(error: BaseException) -> int:
    """Exit code of an error: that of its nearest ancestor in the table."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), 1)


def parser_of(command: Command) -> argparse.ArgumentParser:
    """Parser of one command, its module imported."""
    parser = Parser(prog=f"throughline {command.name}", description=command.help)
    parser.add_argument("--home", help="folder of all state (default .throughline)")
    importlib.import_module(f"orchestration.commands.{command.module}").add_arguments(parser)
    return parser


def home_first(words: Sequence[str]) -> list[str]:
    """The words with ``--home DIR`` before all others, so that it may stand behind an action, too.

    Examples
    --------
    >>> home_first(["list", "--home", "elsewhere", "--json"])
    ['--home', 'elsewhere', 'list', '--json']
    >>> home_first(["list", "--home=elsewhere"])
    ['--home=elsewhere', 'list']
    """
    for place, word in enumerate(words):
        if word == "--":
            break
        length = 2 if word == "--home" else 1 if word.startswith("--home=") else 0
        if length:
            end = place + length
            return [*words[place:end], *words[:place], *words[end:]]
    return list(words)


def run(command: Command, words: Sequence[str]) -> int:
    """Run one command; its exit code."""
    from orchestration.settings import Settings
    from orchestration.shell import Shell

    parser = parser_of(command)
    # The usual way takes words apart at the first option and refuses those behind it.
    parse = parser.parse_intermixed_args if command.takes_fields else parser.parse_args
    arguments = parse(home_first(words))
    environment = dict(os.environ)
    settings = Settings.read(environment, home=arguments.home)
    if command.needs_home and not settings.layout.root.is_dir():
        raise NotReadyError(
            "there is no home",
            found=f"no folder {settings.layout.root}",
            remedy="name it with --home or THROUGHLINE_HOME; the first `ingest` or `up` makes one",
            code="no_home",
        )
    module = importlib.import_module(f"orchestration.commands.{command.module}")
    shell = Shell(settings, environment)
    with shell.waiting():
        code: int = module.run(arguments, shell)
    return code


def run_and_end_spark(command: Command, words: Sequence[str]) -> int:
    """Run one command; the JVM that its jobs shared is gone when this returns."""
    try:
        return run(command, words)
    finally:
        session = sys.modules.get("spark_jobs.session")
        if session is not None:
            from orchestration.runs import noise_aside

            with Path(os.devnull).open("ab") as nowhere, noise_aside(nowhere):
                session.end_session()  # interrupted, its threads print what they lost


def main(words: Sequence[str] | None = None) -> int:
    """Entry of ``throughline``: help, else the command, in a child when it is long."""
    given = list(sys.argv[1:] if words is None else words)
    quieten(os.environ)
    open_to_any_text()
    if not given or given[0] in {"-h", "--help", "help"}:
        sys.stdout.write(overview() + "\n")
        return 0
    is_child = given[0] == IN_CHILD
    given = given[1:] if is_child else given
    command = next((command for command in COMMANDS if command.name == given[0]), None)
    if command is None:
        sys.stderr.write(unknown(given[0]))
        return 2
    if is_child:
        return in_words(lambda: run_and_end_spark(command, given[1:]), is_child=True)
    is_asked_for_help = bool({"-h", "--help"} & set(given))
    if is_asked_for_help or not command.is_supervised:
        return in_words(lambda: run(command, given[1:]))
    from orchestration.supervised import supervise

    child = [sys.executable, "-m", "orchestration.cli", IN_CHILD, *given]
    return in_words(lambda: supervise(child, os.environ))


def in_words(work: Callable[[], int], *, is_child: bool = False) -> int:
    """Exit code of some work; errors of ours leave as words, never as a trace.

    Of an interrupt the parent speaks: it alone knows that nothing is left.
    """
    try:
        return work()
    except PlatformError as error:
        return _said(error)
    except KeyboardInterrupt:
        if not is_child:
            sys.stderr.write("\ninterrupted; nothing was left running\n")
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except Exception as error:
        from orchestration.faults import error_of

        return _said(error_of(error))


def _said(error: PlatformError) -> int:
    scrubber = Scrubber(secrets_of(os.environ))
    sys.stderr.write(f"error: {scrubber.scrub(str(error))}\n")
    return exit_code_of(error)


if __name__ == "__main__":
    raise SystemExit(main())
