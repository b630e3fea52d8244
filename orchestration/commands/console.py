"""``console``: pages for people, in a process of their own, as they run in production."""

import argparse
import os
import sys

from orchestration.fields import port
from orchestration.ports import CONSOLE_PORT
from orchestration.service_environment import service_environment
from orchestration.shell import PROJECT, Shell

PROGRAM = (sys.executable, "-m", "serving.console.main")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--port", type=port, help=f"where it listens; default {CONSOLE_PORT}")
    parser.add_argument("--host", help="default 127.0.0.1; another one takes a key")
    parser.epilog = "`throughline up` starts it beside the rest. Read docs/console.md."


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Become the console; it ends on Ctrl-C."""
    os.chdir(PROJECT)
    os.execve(PROGRAM[0], PROGRAM, environment_of(arguments, shell))  # noqa: S606 - ours


def environment_of(arguments: argparse.Namespace, shell: Shell) -> dict[str, str]:
    """Variables of the console: of this installation, and where it was told to listen."""
    given = {"CONSOLE__HOST": arguments.host, "CONSOLE__PORT": arguments.port}
    more = {name: str(value) for name, value in given.items() if value is not None}
    return service_environment(shell.settings, shell.environment, **more)
