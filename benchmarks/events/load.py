"""Payments sent as events at a pace: ``python -m benchmarks.events.load`` and what to send.

An open loop (`benchmarks.load`): lists of events leave at instants drawn beforehand. What the
service answered is kept with the instant of each answer, on the monotonic clock, so that it can be
told when an event could be read after it was taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks.load import OpenLoop, arrivals, request_bytes
from core.clock import DAY_MS, MINUTE_MS, SystemClock

HOST, PATH = "127.0.0.1", "/v1/events/transactions"
AGES_MS, AGE_SHARES = (2_000, 10 * MINUTE_MS, 3 * DAY_MS), (0.7, 0.2, 0.1)
"""How old an event is when it is sent: at most so old, in such a share."""
SEED = 3


def payments(count: int, *, cards: int, run: str, now_ms: int) -> Iterator[dict[str, Any]]:
    """Payments of the last two seconds by cards and at terminals drawn evenly, ids by ``run``."""
    draw = np.random.default_rng(zlib.crc32(run.encode()))
    card, terminal = draw.integers(cards, size=count), draw.integers(cards // 2 + 1, size=count)
    paid_ms = now_ms - np.sort(draw.integers(0, 2_000, count))[::-1]
    amount = draw.integers(100, 200_000, count)
    columns = (card.tolist(), terminal.tolist(), paid_ms.tolist(), amount.tolist())
    for n, (c, t, at_ms, minor) in enumerate(zip(*columns, strict=True)):
        yield {
            "event_id": f"{run}-{n}",
            "event_timestamp": at_ms,
            "card_id": f"c{c}",
            "terminal_id": f"t{t}",
            "amount_minor": minor,
        }


def strewn(
    events: Iterator[dict[str, Any]], due_s: Sequence[float], *, now_ms: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Events dated by when they leave: most of them just then, some minutes or days before."""
    draw = np.random.default_rng(seed)
    oldest_ms = draw.choice(AGES_MS, size=len(due_s), p=AGE_SHARES)
    ages_ms = (draw.random(len(due_s)) * oldest_ms).astype(np.int64).tolist()
    for event, due, age_ms in zip(events, due_s, ages_ms, strict=True):
        yield event | {"event_timestamp": now_ms + int(1_000 * due) - age_ms}


def repeated(requests: list[bytes], share: float, *, seed: int) -> list[bytes]:
    """Requests of which a share is one that was sent before, as of senders that heard nothing.

    Examples
    --------
    >>> repeated([b"a", b"b", b"c"], 0, seed=1)
    [b'a', b'b', b'c']
    >>> repeated([b"a", b"b", b"c"], 1, seed=1)
    [b'a', b'a', b'a']
    """
    draw, found = np.random.default_rng(seed), requests[:1]
    for n in range(1, len(requests)):
        is_again = draw.random() < share
        found.append(found[int(draw.integers(n))] if is_again else requests[n])
    return found


def bodies(events: Iterator[dict[str, Any]], size: int) -> list[bytes]:
    """Lists of ``size`` events as they are sent; a single one as an object."""
    if size == 1:
        return [json.dumps(event).encode() for event in events]
    every, found = list(events), []
    for start in range(0, len(every), size):
        found.append(json.dumps(every[start : start + size]).encode())
    return found


def taken_of(answer: bytes) -> tuple[int, int]:
    """How many events an answer took, and the last position among theirs; 0 where none."""
    said = json.loads(answer[answer.index(b"\r\n\r\n") + 4 :])
    places = [each.get("position", 0) for each in said["results"]]
    return int(said["accepted"]), max(places, default=0)


def sent(port: int, requests: list[bytes], due_s: list[float], connections: int) -> dict[str, Any]:
    """Outcome of the load, with the instant and position of every answer that took events."""
    kept: list[tuple[float, bytes]] = []

    def keep(_due: float, now: float, status: str, answer: bytes) -> None:
        if status.startswith("2"):
            kept.append((now, answer))

    async def load() -> dict[str, Any]:
        # The loop's clock may be another than the machine's monotonic one, by a fixed distance.
        ahead_s = asyncio.get_running_loop().time() - time.monotonic()
        loop = OpenLoop(HOST, port, connections=connections, kept=keep)
        outcome = await loop.run(requests, due_s)
        taken = [(now - ahead_s, *taken_of(answer)) for now, answer in kept]
        answers = [(now, place) for now, _, place in taken]
        said = outcome.said
        return {
            **asdict(outcome),
            "profile": said,
            "accepted": sum(n for _, n, _ in taken),
            "answers": answers,
        }

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events.load")
    parser.add_argument("port", type=int)
    parser.add_argument("rate", type=float, help="events a second")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--size", type=int, default=1, help="events a request")
    parser.add_argument("--cards", type=int, required=True)
    parser.add_argument("--run", required=True, help="what event ids begin with")
    parser.add_argument("--late", action="store_true", help="date some minutes or days before")
    parser.add_argument("--again", type=float, default=0.0, help="share that is sent once more")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--to", type=Path, required=True, help="where to write what came of it")
    given = parser.parse_args()
    due_s = arrivals(given.rate / given.size, given.seconds)
    count, now_ms = len(due_s) * given.size, SystemClock().now_ms()
    drawn = payments(count, cards=given.cards, run=given.run, now_ms=now_ms)
    if given.late:
        drawn = strewn(drawn, np.repeat(due_s, given.size).tolist(), now_ms=now_ms, seed=SEED)
    requests = [request_bytes(HOST, given.port, PATH, body) for body in bodies(drawn, given.size)]
    requests = repeated(requests, given.again, seed=SEED)
    given.to.write_text(json.dumps(sent(given.port, requests, due_s, given.connections)))


if __name__ == "__main__":
    main()
