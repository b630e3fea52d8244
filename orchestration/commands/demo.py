"""``demo``: everything, step by step, each with its time."""

import argparse
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--transactions", type=int, default=200_000, help="payments to make up")
    parser.add_argument("--days", type=int, default=60, help="days they spread over, ending now")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same world")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Prepare what is not there, start the service, decide, explain, replay, roll out."""
    elapsed = shell.elapsed()
    shell.say(f"Throughline demo, everything below {shell.settings.layout.root}\n")
    from orchestration import canaries, demo
    from orchestration.runs import Runs

    with Runs(shell.settings, shell.say) as runs:
        demo.prepare(
            shell,
            runs,
            transactions=arguments.transactions,
            days=arguments.days,
            seed=arguments.seed,
        )
    with service(shell):
        demo.decide(shell)
        shell.say("")
        canaries.run_canaries(shell, canaries.payments_of_all_cards(shell))
    shell.say(f"\ndone in {elapsed():.0f} s; nothing is left running")
    shell.next(
        "`throughline up`, then open http://127.0.0.1:3000 (assets, checks, runs), "
        "http://127.0.0.1:5000 (models)\n      and http://127.0.0.1:8080/docs (the service)"
    )
    return 0


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
