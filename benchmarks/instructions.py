"""Instructions of a request: ``python -m benchmarks.instructions``.

It needs valgrind and redis-server, and two minutes.

Times on a busy machine say little about a change of one per cent. Instructions hardly differ from
run to run, whatever else runs: one worker of the service in a process of its own, asked as an ASGI
application, so that neither sockets to callers nor the server's parser are in it; Redis is a real
one. Not counted is what the kernel does, and a cache that is cold costs nothing here: for that
there is ``make bench-online``.

``python -m benchmarks.instructions FOLDER`` is what runs under valgrind.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from starlette.types import ASGIApp

from benchmarks import online, servers
from benchmarks.online_data import CANDIDATES, USE_CASE
from core.errors import DependencyError, PlatformError

CARDS = 200
ROUNDS = 40
LOOK_EVERY_S = 0.2
TIMEOUT_S = 900
MISSING = "valgrind is not installed (apt-get install valgrind)"

_MARK = "getloadavg"
"""A function of the C library that nothing else here calls: each call begins another count."""
_PART = re.compile(r"^desc: Trigger: .*?^totals: (\d+)", re.MULTILINE | re.DOTALL)


class Case(NamedTuple):
    """Requests of ``file``, so many under way at once."""

    name: str
    path: str
    file: str
    at_once: int


_PATH = f"/v1/{USE_CASE}/predictions"
CASES = (
    Case("a request alone", _PATH, "points.ndjson", 1),
    Case("one of four that come together", _PATH, "points.ndjson", 4),
    Case(f"{CANDIDATES} candidates in one request", f"{_PATH}:batch", "batches.ndjson", 1),
)


def counts_of(dumps: str) -> list[int]:
    """Instructions from every first mark to the mark behind it, of callgrind's dumps in order.

    Examples
    --------
    >>> part = "desc: Trigger: --dump-before=getloadavg\\ntotals: {}\\n"
    >>> counts_of("".join(map(part.format, (900, 40, 70, 20))))
    [40, 20]
    """
    return [int(total) for total in _PART.findall(dumps)][1::2]


def counted(folder: Path, redis_url: str) -> dict[str, int]:
    """Instructions a request, by case.

    Raises
    ------
    DependencyError
        If there is no valgrind, or it did not count.
    """
    if shutil.which("valgrind") is None:
        raise DependencyError("instructions cannot be counted", found=MISSING, remedy="install it")
    out = folder / "callgrind.out"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    command += ["--combine-dumps=yes", f"--dump-before={_MARK}"]
    settings = {"THROUGHLINE_HOME": str(folder / "home"), "THROUGHLINE_ONLINE_URL": redis_url}
    done = subprocess.run(
        [*command, sys.executable, "-m", "benchmarks.instructions", str(folder)],
        env={**os.environ, **settings, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    found = counts_of(out.read_text(errors="replace")) if out.is_file() else []
    if done.returncode != 0 or len(found) != len(CASES):
        raise DependencyError(
            "the instructions were not counted",
            found=(done.stderr.strip().splitlines() or ["nothing"])[-1][:200],
            remedy="see whether valgrind knows this processor, and whether the service starts",
        )
    each = zip(CASES, found, strict=True)
    return {case.name: total // (ROUNDS * case.at_once) for case, total in each}


async def _ask_all(folder: Path) -> None:
    """All cases: each is asked until it is warm, and again between two marks."""
    from serving.application import application

    app = application()
    async with _living(app):
        for case in CASES:
            bodies = cycle((folder / case.file).read_bytes().splitlines())
            # The model is tried first; whoever asks can only ask again.
            while await _status(app, case.path, next(bodies)) != 200:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY_S)
            for n in range(1, 2 * ROUNDS + 1):
                asked = [_status(app, case.path, each) for each in islice(bodies, case.at_once)]
                if set(await asyncio.gather(*asked)) != {200}:
                    raise RuntimeError(f"{case.name}: not all was answered")
                if n % ROUNDS == 0:
                    os.getloadavg()


@asynccontextmanager
async def _living(app: ASGIApp) -> AsyncIterator[None]:
    """The application between its start and its end."""
    said: asyncio.Queue[str] = asyncio.Queue()
    told: asyncio.Queue[str] = asyncio.Queue()

    async def receive() -> dict[str, str]:
        return {"type": await told.get()}

    async def send(message: Any) -> None:
        said.put_nowait(message["type"])

    lifespan: Any = app({"type": "lifespan", "state": {}}, receive, send)
    life = asyncio.create_task(lifespan)
    for when in ("startup", "shutdown"):
        told.put_nowait(f"lifespan.{when}")
        if (answer := await said.get()) != f"lifespan.{when}.complete":
            raise DependencyError("the service did not begin or end", found=answer, remedy="")
        if when == "startup":
            yield
    await life


async def _status(app: ASGIApp, path: str, body: bytes) -> int:
    """Ask once; the status of the answer."""
    statuses: list[int] = []
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0]


def main(arguments: Sequence[str]) -> int:
    if arguments:
        import uvloop

        uvloop.run(_ask_all(Path(arguments[0])))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with servers.redis(folder) as redis_url:
                prepared = online.prepared(folder, redis_url, CARDS)
                if prepared.failure:
                    raise DependencyError("nothing to ask", found=prepared.failure, remedy="")
                print("counting, two minutes or so", flush=True)
                found = counted(folder, redis_url)
        except PlatformError as error:
            print(error, file=sys.stderr)
            return 1
    for case, n in found.items():
        print(f"{case:<34} {n:>12,} instructions")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
