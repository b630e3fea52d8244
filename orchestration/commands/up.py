"""``up``: everything that runs all the time, as children of one command."""

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from core.errors import ConfigurationError, DependencyError
from orchestration.addresses import (
    Addresses,
    forget_addresses,
    read_addresses,
    write_addresses,
)
from orchestration.client import is_ours
from orchestration.ending import interrupt_on
from orchestration.fields import port
from orchestration.instance import open_instance, prepare_home
from orchestration.leftovers import close_leftovers
from orchestration.ports import (
    CONSOLE_PORT,
    MLFLOW_PORT,
    SERVICE_PORT,
    UI_PORT,
    Ports,
    ports_of,
)
from orchestration.processes import Child, Processes, answers, is_code_loaded
from orchestration.service_environment import SERVICE_KEY, service_environment
from orchestration.shell import PROJECT, Shell
from stores.layout import Layout

READY_WITHIN_S = 180.0
LOOK_EVERY_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    for option, whose, default in (
        ("--port", "the service", SERVICE_PORT),
        ("--console-port", "the console", CONSOLE_PORT),
        ("--ui-port", "Dagster's pages", UI_PORT),
        ("--mlflow-port", "MLflow's pages", MLFLOW_PORT),
    ):
        parser.add_argument(option, type=port, help=f"of {whose}; default {default} if free")
    parser.epilog = "A port that is given is taken or nothing is started; 0 is any that is free."
    parser.add_argument("--online-only", action="store_true", help="without pages and daemon")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Start all, wait until they are ready, print where, end all on Ctrl-C."""
    interrupt_on(signal.SIGINT, signal.SIGTERM)
    with (
        only_one(shell.settings.layout.create()),
        started(shell, ports_of(arguments), has_pages=not arguments.online_only) as processes,
    ):
        shell.say(f"\nCtrl-C stops them all. Logs: {processes.logs}")
        try:
            watch(processes)
        except KeyboardInterrupt:
            shell.say("\nstopping")
    shell.say("stopped; nothing is left running")
    return 0


@contextmanager
def started(shell: Shell, ports: Ports, *, has_pages: bool) -> Iterator[Processes]:
    """All processes, ready; ended with the block, whatever happens in it."""
    layout = shell.settings.layout.create()
    environment = service_environment(
        shell.settings,
        shell.environment,
        HTTP__PORT=str(ports.service),
        CONSOLE__PORT=str(ports.console),
        UI_URL=ports.address(ports.ui),
        MLFLOW_UI_URL=ports.address(ports.mlflow),
    )
    environment["DAGSTER_HOME"] = str(prepare_home(layout.dagster_home))
    children = online_children(layout, ports)
    if has_pages:
        with open_instance(layout.dagster_home) as instance:
            close_leftovers(instance, has_daemon=False)
        children += page_children(shell, ports)
    with Processes(environment, layout.logs, PROJECT) as processes:
        try:
            ready = []
            for child in processes.start_all(children, within_s=READY_WITHIN_S):
                shell.say(f"  {child.name:<11}{child.address or 'running'}")
                ready.append(child)
                # The service answers long before Dagster does: who asks it need not wait.
                write_addresses(layout, addresses_of(ready))
            yield processes
        finally:
            forget_addresses(layout)


@contextmanager
def only_one(layout: Layout) -> Iterator[None]:
    """Refuse to start what is running already: two folders would fight over the values."""
    with (layout.state / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "the processes of this home are running already",
                found=f"service at {read_addresses(layout).service or 'an address not yet said'}",
                remedy="use them, stop them, or give another --home",
            ) from None
        yield


def watch(processes: Processes) -> None:
    """Return never; raise when a child ends by itself."""
    while True:
        ended = processes.ended()
        if ended:
            name, code = next(iter(ended.items()))
            raise DependencyError(
                f"{name} ended by itself with code {code}",
                found=processes.tail(name),
                remedy=f"read {processes.logs / name}.log; the others were stopped",
            )
        time.sleep(LOOK_EVERY_S)


def online_children(layout: Layout, ports: Ports) -> list[Child]:
    """Controller, folder, service: what a decision needs."""
    address = ports.address(ports.service)
    return [
        Child("controller", (sys.executable, "-m", "serving.controller")),
        Child("folder", (sys.executable, "-m", "serving.folder")),
        Child(
            "service",
            (sys.executable, "-m", "serving.main"),
            address,
            lambda: is_ours(address, layout),
        ),
    ]


def page_children(shell: Shell, ports: Ports) -> list[Child]:
    """The console; Dagster's code server, daemon and pages; MLflow's pages."""
    layout, console = shell.settings.layout, ports.address(ports.console)
    workspace = write_workspace(layout, ports.code)
    local = ("-h", "127.0.0.1", "-p")
    code = ("code-server", "start", *local, str(ports.code), "-m", "orchestration.definitions")
    ui, mlflow = ports.address(ports.ui), ports.address(ports.mlflow)
    store = ("--backend-store-uri", shell.settings.tracking_uri, "--workers", "1")
    key = shell.settings.service_key.get_secret_value()
    asks = {SERVICE_KEY: key} if key else {}  # synthetic requests are asked from there
    return [
        Child(
            "console",
            (sys.executable, "-m", "serving.console.main"),
            console,
            lambda: is_ours(console, layout),
        ),
        Child(
            "code",
            _module("dagster", *code),
            "",
            lambda: is_code_loaded(ports.code),
            variables=asks,
        ),
        Child(
            "ui",
            _module("dagster_webserver", *local, str(ports.ui), "-w", workspace),
            ui,
            lambda: answers(f"{ui}/server_info"),
            after="code",
        ),
        Child("daemon", _module("dagster._daemon", "run", "-w", workspace), after="code"),
        Child(
            "mlflow",
            _module("mlflow", "server", "-h", "127.0.0.1", "-p", str(ports.mlflow), *store),
            mlflow,
            lambda: answers(f"{mlflow}/health"),
        ),
    ]


def write_workspace(layout: Layout, code_port: int) -> str:
    """Workspace file that points UI and daemon at one code server."""
    server = {"host": "127.0.0.1", "port": code_port, "location_name": "throughline"}
    path = layout.dagster_home / "workspace.yaml"
    path.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    return str(path)


def addresses_of(children: list[Child]) -> Addresses:
    """Addresses by the names the command line looks for."""
    found = {child.name: child.address for child in children}
    return Addresses(
        service=found.get("service", ""),
        console=found.get("console", ""),
        ui=found.get("ui", ""),
        mlflow=found.get("mlflow", ""),
    )


def _module(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
