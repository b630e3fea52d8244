"""Child processes that live and die with the command that started them.

Each leads a process group, so one signal reaches all it started; the kernel is told to end
it when we die without a word; its output goes to a file of its own.
"""

import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from core.clock import SystemClock
from core.errors import DependencyError
from orchestration.ending import die_with_parent, end_group
from stores.process_logs import open_log

STOP_WITHIN_S = 15.0
LOOK_EVERY_S = 0.1
BELOW_CONNECTIONS = range(16_384, 32_768)
"""Ports that Linux gives to no connection by itself (`ip_local_port_range` begins above)."""


@dataclass(frozen=True)
class Child:
    """A process to start: its name, command, and the address that answers when it is ready.

    ``is_ready`` is asked until it says yes; None means ready once started. ``after`` names a
    child that must be ready before this one is started. ``variables`` are for it alone.
    """

    name: str
    command: tuple[str, ...]
    address: str = ""
    is_ready: Callable[[], bool] | None = None
    after: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Processes:
    """Children by name, in the order they were started. Use it as a context."""

    environment: Mapping[str, str]
    logs: Path
    folder: Path
    running: dict[str, "subprocess.Popen[Any]"] = field(default_factory=dict)
    _files: list[IO[bytes]] = field(default_factory=list)

    def __enter__(self) -> "Processes":
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start_all(self, children: Sequence[Child], *, within_s: float) -> Iterator[Child]:
        """Start children side by side, later those that need another; yield each when ready.

        A child that names another in ``after`` comes behind it in ``children``.
        """
        for child in children:
            if not child.after:
                self.start(child)
        for child in children:
            self.wait_ready(child, within_s=within_s)
            for other in children:
                if other.after == child.name:
                    self.start(other)
            yield child

    def start(self, child: Child) -> None:
        """Start a child; its output is appended to ``<name>.log`` of the day."""
        file = open_log(self.logs / f"{child.name}.log", now_ms=SystemClock().now_ms())
        self._files.append(file)
        self.running[child.name] = subprocess.Popen(
            child.command,
            cwd=self.folder,
            env={**self.environment, **child.variables},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def wait_ready(self, child: Child, *, within_s: float) -> float:
        """Seconds until a child was ready.

        Raises
        ------
        DependencyError
            If it ended, or was not ready in time; the tail of its log is in the message.
        """
        began_s = time.monotonic()
        while child.is_ready is not None and not child.is_ready():
            code = self.running[child.name].poll()
            waited_s = time.monotonic() - began_s
            if code is not None or waited_s > within_s:
                what = f"ended with code {code}" if code is not None else f"silent {waited_s:.0f} s"
                raise DependencyError(
                    f"{child.name} did not start ({what})",
                    found=self.tail(child.name),
                    remedy=f"read {self.logs / child.name}.log",
                )
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began_s

    def tail(self, name: str, lines: int = 5) -> str:
        """Last lines that a child wrote, as one."""
        path = self.logs / f"{name}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return " | ".join(text.strip().splitlines()[-lines:]) or "nothing in its log"

    def ended(self) -> dict[str, int]:
        """Children that have ended by themselves, and how."""
        codes = {name: process.poll() for name, process in self.running.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def stop(self) -> None:
        """End all children, the last started first. Safe to call twice."""
        for process in reversed(self.running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self.running.values()):
            end_group(process, within_s=STOP_WITHIN_S)
        self.running.clear()
        while self._files:
            self._files.pop().close()


def free_port(preferred: int = 0) -> int:
    """``preferred`` when nobody listens there, else a free port of this machine.

    It is drawn from `BELOW_CONNECTIONS`: one that the system chose might be given to a connection
    before whoever asked for it listens there.
    """
    drawn = random.SystemRandom().sample(BELOW_CONNECTIONS, 100)  # a seed would draw the same twice
    for port in filter(None, (preferred, *drawn)):
        with suppress(OSError):
            return bindable_port(port)
    return bindable_port(0)


def bindable_port(port: int) -> int:
    """A port on which a server may listen now: the given one, any for 0; OSError says why not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])


def answers(url: str, *, within_s: float = 1.0) -> bool:
    """Whether a GET of ``url`` is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=within_s) as answer:  # noqa: S310 - ours
            return bool(answer.status < 400)
    except (urllib.error.URLError, OSError):
        return False


def is_code_loaded(port: int) -> bool:
    """Whether the code server on a port offers our definitions.

    Raises
    ------
    DependencyError
        If it runs and could not load them.
    """
    from dagster import DagsterError
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient

    try:
        said = DagsterGrpcClient(port=port, host="127.0.0.1").list_repositories()
    except DagsterUserCodeUnreachableError:
        return False
    except DagsterError as error:
        raise DependencyError("the definitions do not load", found=str(error)[:400]) from None
    return bool(said)
