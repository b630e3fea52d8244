"""What processes share: settings, sockets, signals, how they say sentences."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from core.clock import Clock, SystemClock
from core.errors import ConfigurationError, PlatformError
from serving.settings import Settings, read_settings
from serving.telemetry.log_lines import Trouble, set_up_logs

Told = Callable[[str], None]
Stop = Callable[[float], bool]
"""Waits up to so many seconds; True when the process was told to end."""

Work = Callable[[Settings, Clock, Stop, Told], None]

INTERRUPTED = 130
"""Exit status of a process that SIGINT ended, as shells have it."""

SHARED_COUNTS = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


def run_process(name: str, work: Work) -> int:
    """Do ``work`` until SIGTERM or SIGINT; the exit status."""
    stop = stop_on_signals()
    environment = os.environ  # noqa: TID251 - a root
    count_alone(environment)
    try:
        settings, told = settings_and_teller(name, environment)
    except PlatformError:
        return 1
    try:
        work(settings, SystemClock(), stop, told)
    except PlatformError as error:
        told(Trouble(error))
        return 1
    return 0


def settings_and_teller(name: str, environment: Mapping[str, str]) -> tuple[Settings, Told]:
    """Settings, and how a process says sentences; what is wrong with settings has been said.

    Raises
    ------
    ConfigurationError
        If the settings cannot be used.
    """
    try:
        settings = read_settings(environment)
    except PlatformError as error:
        set_up_logs(name, environment, is_json=False)(Trouble(error))
        raise
    return settings, set_up_logs(name, environment, is_json=settings.is_logged_as_json)


def count_alone(environment: MutableMapping[str, str]) -> None:
    """Keep metrics in this process, though its surroundings ask for files that processes share.

    `PROMETHEUS_MULTIPROC_DIR` is set for other programs of a machine. With it our counts would go
    on where those of an ended process of the same number had stopped, and no series could ever
    leave. Workers have their own way to give all their counts (`serving.telemetry.worker_metrics`).
    """
    if not any(name in environment for name in SHARED_COUNTS):
        return
    for name in SHARED_COUNTS:
        environment.pop(name, None)
    from prometheus_client import values  # chose when it was imported, which may be long ago

    values.ValueClass = values.MutexValue


def stop_on_signals() -> Stop:
    """Take SIGTERM and SIGINT for an order to end; how to wait for one.

    Through a pipe and not a `threading.Event`: its lock, held by a wait that a signal
    interrupts, would make the handler wait for itself for ever.
    """
    ordered, order = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def handler(_signal: int, _frame: FrameType | None) -> None:
        with suppress(BlockingIOError):  # full of orders already
            os.write(order, b".")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)
    poll = select.poll()
    poll.register(ordered, select.POLLIN)

    def stop(seconds: float) -> bool:
        return bool(poll.poll(seconds * 1_000))

    return stop


def leave_after(work: Callable[[], int]) -> NoReturn:
    """End this process with what ``work`` returns, and wait for nothing else.

    A model that hangs in a thread would be waited for by Python for ever.
    """
    status = 1
    try:
        status = work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def allow_open_files(n_wanted: int) -> None:
    """Raise how many files this process may have open, as far as it may do that itself.

    Where connections use up the files, one that comes is not even refused: it waits for ever.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = n_wanted if hard == resource.RLIM_INFINITY else min(n_wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def authority(host: str, port: int) -> str:
    """An address as URLs have it: colons of IPv6 would be taken for that before the port.

    Examples
    --------
    >>> authority("127.0.0.1", 8080), authority("::1", 8080)
    ('127.0.0.1:8080', '[::1]:8080')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound_socket(host: str, port: int, *, setting: str) -> socket.socket:
    """A socket that has the address already and does not listen yet: nobody else can take it now.

    Raises
    ------
    ConfigurationError
        If the address cannot be had; ``setting`` is the variable that names another.
    """
    ours = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.bind((host, port))
    except OSError as error:
        ours.close()
        raise ConfigurationError(
            f"{authority(host, port)} cannot be listened on, and nothing was started",
            found=(error.strerror or str(error)).lower(),
            remedy=f"end what listens there, or name another port in {setting}",
            code="port_taken",
        ) from error
    return ours


@contextmanager
def only_one(path: Path, stop: Stop) -> Iterator[bool]:
    """Hold a lock while others wait for it; False when told to end before it was free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if stop(0.2):
                    yield False
                    return
            else:
                yield True
                return
