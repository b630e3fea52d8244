"""Predictions at a steady rate, each answer kept: what chaos does to every single one.

``python -m benchmarks.chaos.load PORT PATH BODIES RATE SECONDS OUT`` writes one JSON object an
answer to ``OUT``. Latencies count from the intended instant, as in `benchmarks.load`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.load import OpenLoop, arrivals, request_bytes

CONNECTIONS = 64
MISSING = frozenset({"unavailable", "expired"})


@dataclass(frozen=True)
class Answer:
    """One request and what became of it.

    Attributes
    ----------
    at_s
        When it was meant to leave: epoch seconds.
    ms
        How long its answer took.
    status
        HTTP status, or why there is none.
    level, because
        Its label; empty for an answer that says it is whole.
    writer
        Process that recorded it.
    is_lacking
        Whether a view of its features is missing, whatever the label says.
    prediction_id
        Its record.
    """

    at_s: float
    ms: float
    status: str
    level: str = ""
    because: str = ""
    writer: str = ""
    is_lacking: bool = False
    prediction_id: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether somebody got a decision."""
        return self.status == "200"


def answer_of(at_s: float, ms: float, status: str, raw: bytes) -> Answer:
    """Answer from the bytes of HTTP."""
    if status != "200":
        return Answer(at_s, ms, status)
    body = json.loads(raw.partition(b"\r\n\r\n")[2])
    degraded = body["degraded"] or {}
    record_id = body["prediction_id"] or ""
    statuses = {each["status"] for each in body["features"].values()}
    return Answer(
        at_s=at_s,
        ms=ms,
        status=status,
        level=degraded.get("level", ""),
        because=degraded.get("because", ""),
        writer=record_id.split("-")[1] if record_id else "",
        is_lacking=bool(statuses & MISSING),
        prediction_id=record_id,
    )


async def asked(
    port: int, path: str, bodies: Sequence[bytes], rate: float, seconds: float
) -> list[Answer]:
    """Every answer of one load, in the order in which they came."""
    shift_s = time.time() - asyncio.get_running_loop().time()
    answers: list[Answer] = []

    def keep(due_s: float, at_s: float, status: str, raw: bytes) -> None:
        answers.append(answer_of(due_s + shift_s, (at_s - due_s) * 1_000, status, raw))

    due_s = arrivals(rate, seconds)
    requests = [request_bytes("127.0.0.1", port, path, each) for each in bodies[: len(due_s)]]
    load = OpenLoop("127.0.0.1", port, connections=CONNECTIONS, kept=keep)
    await load.run(requests, due_s)
    return answers


def answer_to(port: int, path: str, body: bytes) -> Answer:
    """Answer to one request, asked alone."""
    (found,) = asyncio.run(asked(port, path, [body], rate=1.0, seconds=1.0))
    return found


def read_answers(path: Path) -> list[Answer]:
    """Answers that ``main`` wrote."""
    return [Answer(**json.loads(line)) for line in path.read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos.load")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("rate", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    bodies = given.bodies.read_bytes().splitlines()
    found = asyncio.run(asked(given.port, given.path, bodies, given.rate, given.seconds))
    given.out.write_text("".join(json.dumps(asdict(each)) + "\n" for each in found))


if __name__ == "__main__":
    main()
