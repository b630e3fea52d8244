"""Which ports the processes of `up` listen on: those that were named, else free ones."""

import argparse
from typing import NamedTuple

from core.errors import ConfigurationError
from orchestration.processes import bindable_port, free_port

SERVICE_PORT, CONSOLE_PORT, UI_PORT, MLFLOW_PORT = 8080, 8081, 3000, 5000


class Ports(NamedTuple):
    """Where each process listens on 127.0.0.1."""

    service: int
    code: int
    ui: int
    mlflow: int
    console: int = 0

    def address(self, port: int) -> str:
        """Base address of one of them."""
        return f"http://127.0.0.1:{port}"


def ports_of(arguments: argparse.Namespace) -> Ports:
    """The ports that were named, and free ones for the rest; no two are the same.

    Raises
    ------
    ConfigurationError
        If a named port cannot be had: who names one will look for us there.
    """
    wanted = {"--port": arguments.port}
    if not arguments.online_only:
        wanted |= {"--ui-port": arguments.ui_port, "--mlflow-port": arguments.mlflow_port}
        wanted |= {"--console-port": arguments.console_port}
    named = {option: number for option, number in wanted.items() if number}
    for option, number in named.items():
        _check_named(option, number, list(named.values()))
    found: set[int] = set(named.values())

    def chosen(asked: int | None, default: int) -> int:
        if asked:
            return asked
        preferred = default if asked is None and default not in found else 0
        number = free_port(preferred)
        found.add(number)
        return number

    return Ports(
        service=chosen(arguments.port, SERVICE_PORT),
        code=chosen(None, 0),
        ui=chosen(arguments.ui_port, UI_PORT),
        mlflow=chosen(arguments.mlflow_port, MLFLOW_PORT),
        console=chosen(arguments.console_port, CONSOLE_PORT),
    )


def _check_named(option: str, number: int, named: list[int]) -> None:
    if named.count(number) > 1:
        raise ConfigurationError(
            f"the port {number} is given to two processes",
            found=f"{option} {number} and another option with it",
            remedy="give each its own",
            code="port_taken",
        )
    try:
        bindable_port(number)
    except OSError as error:
        raise ConfigurationError(
            f"the port {number} cannot be had, and nothing was started",
            found=f"{(error.strerror or str(error)).lower()} on 127.0.0.1",
            remedy=f"end what listens there, give another {option}, or leave {option} out and "
            "any that is free is taken",
            code="port_taken",
        ) from None
