"""The shadow's process: ``python -m serving.rollouts.shadow_scorer``.

A model on no channel may hang, crash or eat memory; in a process of its own, at the lowest
priority there is, it does so to itself. JSON lines on standard input and output, one request at
a time; a request names a bundle's folder and the digest of its manifest, and the bundle is
verified here again. The first line of an answer says whether the release is ready, then comes one
for each pass, as soon as it is scored. It ends when the pipe closes, and the kernel ends it with
its parent.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.child import limit_oneself, yield_to_all
from serving.models.runtime import OnnxSession
from stores.shelf.bundle import load_bundle


class Request(msgspec.Struct):
    """Vectors to score: ``data`` are float32 rows, end to end, of passes with ``sizes`` rows."""

    bundle: str
    manifest_digest: str
    sizes: list[int]
    data: bytes


class Reply(msgspec.Struct):
    """Scores of a pass in order, null for what is no number; or what went wrong.

    ``spent_ms`` is time of the processor: by the clock, the lowest priority would be measured.
    """

    scores: list[float | None] = []
    spent_ms: float = 0.0
    trouble: str = ""


class ShadowHost:
    """Holds the model of one release at a time."""

    def __init__(self) -> None:
        self._digest = ""
        self._session: OnnxSession | None = None

    def replies(self, request: Request) -> Iterator[Reply]:
        """Whether the release is ready, then the scores of each pass."""
        try:
            session = self._of(request)
        except Exception as error:  # a bundle's errors have no common class
            yield Reply(trouble=type(error).__name__)
            return
        yield Reply()
        rows = np.frombuffer(request.data, dtype=np.float32)
        start, width = 0, len(rows) // max(1, sum(request.sizes))
        for size in request.sizes:
            end = start + size * width
            yield self._scored(session, rows[start:end].reshape(size, width))
            start = end

    def _scored(self, session: OnnxSession, vectors: NDArray[np.float32]) -> Reply:
        """Scores of one pass; whatever goes wrong is said, and the next one may go well."""
        try:
            start_s = time.process_time()
            scores = session.score(vectors)
            spent_ms = (time.process_time() - start_s) * 1_000
        except Exception as error:  # a model's errors have no common class
            return Reply(trouble=type(error).__name__)
        found = [float(score) if np.isfinite(score) else None for score in scores]
        return Reply(found, spent_ms)

    def _of(self, request: Request) -> OnnxSession:
        if self._session is None or request.manifest_digest != self._digest:
            loaded = load_bundle(Path(request.bundle), request.manifest_digest)
            width = len(loaded.manifest.plan.vector)
            self._session = OnnxSession(loaded.model, width)
            self._session.score(np.zeros((1, width), dtype=np.float32))  # the first one is slow
            self._digest = request.manifest_digest
        return self._session


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the requests end."""
    host = ShadowHost()
    decoder, encoder = msgspec.json.Decoder(Request), msgspec.json.Encoder()
    for line in requests:
        for reply in host.replies(decoder.decode(line)):
            replies.write(encoder.encode(reply) + b"\n")
            replies.flush()


if __name__ == "__main__":
    yield_to_all()
    limit_oneself()
    serve(sys.stdin.buffer, sys.stdout.buffer)
