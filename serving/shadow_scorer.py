"""The shadow's process: ``python -m serving.shadow_scorer``.

A model on no channel may hang, crash or eat memory; in a process of its own, at the lowest
priority there is, it does so to itself. JSON lines on standard input and output, one request at
a time; a request names a bundle's folder and the digest of its manifest, and the bundle is
verified here again. It ends when the pipe closes, and the kernel ends it with its parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from serving.runtime import OnnxSession
from stores.bundle import load_bundle

_PR_SET_PDEATHSIG = 1
_LOWEST = 19


class Request(msgspec.Struct):
    """Vectors to score; null is NaN. None at all: only make the release ready."""

    bundle: str
    manifest_digest: str
    vectors: list[list[float | None]]


class Reply(msgspec.Struct):
    """Scores in order, null for what is no number; or what went wrong.

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

    def reply(self, request: Request) -> Reply:
        """Scores of a request; whatever goes wrong is said, and the next one may go well."""
        try:
            session = self._of(request)
            if not request.vectors:
                return Reply()
            vectors = np.array(request.vectors, dtype=np.float32)
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


def yield_to_all() -> None:
    """Let all others go first, and end with the parent even while a model hangs."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_LOWEST)


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the requests end."""
    host = ShadowHost()
    decoder, encoder = msgspec.json.Decoder(Request), msgspec.json.Encoder()
    for line in requests:
        replies.write(encoder.encode(host.reply(decoder.decode(line))) + b"\n")
        replies.flush()


if __name__ == "__main__":
    yield_to_all()
    serve(sys.stdin.buffer, sys.stdout.buffer)
