"""The online processes that the demo asks: those that run already, else its own."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from orchestration.addresses import read_addresses
from orchestration.client import is_ours
from orchestration.commands.up import only_one, started
from orchestration.ending import interrupt_on
from orchestration.ports import SERVICE_PORT, Ports
from orchestration.processes import free_port
from orchestration.shell import Shell


@contextmanager
def service(shell: Shell) -> Iterator[None]:
    """The online processes: those that run already, else our own for as long as needed."""
    layout = shell.settings.layout
    address = read_addresses(layout).service
    if address and is_ours(address, layout):
        shell.say(f"  (there)  service at {address}")
        yield
        return
    interrupt_on(signal.SIGTERM)  # so that our own processes are ended in order
    ports = Ports(service=free_port(SERVICE_PORT), code=0, ui=0, mlflow=0)
    with only_one(layout), started(shell, ports, has_pages=False):
        yield
