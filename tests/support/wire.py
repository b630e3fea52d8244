"""What goes over a socket, byte by byte: for requests that no client would send."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REMOTE, INODE = 2, 9  # of the columns of /proc/net/tcp


@dataclass(frozen=True)
class Answer:
    """One answer as it came. ``headers`` have lower names; the last of a name counts."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)


class Wire:
    """One connection, driven by hand."""

    def __init__(self, address: tuple[str, int], *, receive_bytes: int = 0) -> None:
        self._socket = socket.socket()
        if receive_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(60)
        self._socket.connect(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._kept = b""
        self.is_closed = False

    def send(self, *parts: bytes) -> bool:
        """Send; False where the other side has gone."""
        try:
            for part in parts:
                self._socket.sendall(part)
        except OSError:
            return False
        return True

    def is_held(self) -> bool:
        """Whether a process of this machine holds the other end, as the kernel tells it."""
        _, port = self._socket.getsockname()
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any(row[REMOTE].endswith(f":{port:04X}") and row[INODE] != "0" for row in rows)

    def half_close(self) -> None:
        """Say that nothing more will come."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes, not even an end, for so long."""
        return not select.select([self._socket], [], [], seconds)[0]

    def more(self, within_s: float) -> bool:
        """Take what comes next; False where there is an end. TimeoutError where nothing comes."""
        self._socket.settimeout(max(within_s, 0.001))
        try:
            got = self._socket.recv(65_536)
        except ConnectionError:
            got = b""
        self._kept += got
        self.is_closed = not got
        return bool(got)

    def answer(self, within_s: float = 60.0) -> Answer:
        """The next answer; fails where the connection ends before one."""
        found = self.answer_or_end(within_s)
        assert found is not None, "the connection ended without an answer"
        return found

    def answer_or_end(self, within_s: float = 60.0) -> Answer | None:
        """The next answer; None where the connection ends before one. 1xx are passed over."""
        deadline = time.monotonic() + within_s
        while True:
            found = _parsed(self._kept)
            if found is not None:
                answer, self._kept = found
                if answer.status >= 200:
                    return answer
            elif self.is_closed or not self.more(deadline - time.monotonic()):
                return None

    def ends_within(self, seconds: float) -> float:
        """Seconds until the connection ends, what comes before dropped; TimeoutError else."""
        began = time.monotonic()
        while not self.is_closed:
            self.more(began + seconds - time.monotonic())
        return time.monotonic() - began

    def close(self) -> None:
        """Go."""
        self._socket.close()


def _parsed(kept: bytes) -> tuple[Answer, bytes] | None:
    head, end, rest = kept.partition(b"\r\n\r\n")
    if not end:
        return None
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    status = int(line.split()[1])
    size = 0 if status < 200 else int(headers.get("content-length", 0))
    if headers.get("transfer-encoding") == "chunked":
        whole, end, rest = rest.partition(b"0\r\n\r\n")
        return (Answer(status, headers, whole), rest) if end else None
    return None if len(rest) < size else (Answer(status, headers, rest[:size]), rest[size:])


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)


@contextmanager
def wire(url: str, **options: Any) -> Iterator[Wire]:
    """A connection to a service."""
    opened = Wire(address_of(url), **options)
    try:
        yield opened
    finally:
        opened.close()


def request(
    body: bytes = b"",
    *headers: bytes,
    path: bytes = b"/v1/toy/predictions",
    method: bytes = b"POST",
) -> bytes:
    """Bytes of a request; its length is told where no header says how the body comes."""
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: x"]
    names = {header.partition(b":")[0].lower() for header in headers}
    if method == b"POST" and b"content-type" not in names:
        lines.append(b"Content-Type: application/json")
    if method == b"POST" and names.isdisjoint({b"content-length", b"transfer-encoding"}):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, *headers, b"", body])
