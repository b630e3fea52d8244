"""The shadow's scorer: forked by its keeper (`serving.rollouts.shadow_keeper`), killed at will.

A model on no channel may hang, crash or eat memory; in a process of its own, at the lowest
priority there is, it does so to itself. One request at a time; it names a model's file and digest.
The first reply says whether the model is ready, then comes one for each pass, as soon as it is
scored. Nothing of a bundle is read but the model, as the service has verified the rest: the
modules that know bundles are two thirds of what there would be to import.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.errors import IntegrityError
from serving.rollouts.shadow_messages import Reply, Request
from stores.onnx_sessions import onnx_session
from stores.plain_files import read_plain


class ShadowHost:
    """Holds one model at a time."""

    def __init__(self) -> None:
        self._digest = ""
        self._session: Any = None

    def replies(self, request: Request) -> Iterator[Reply]:
        """Whether the model is ready, then the scores of each pass."""
        rows = np.frombuffer(request.data, dtype=np.float32)
        rows = rows.reshape(sum(request.sizes), -1)
        try:
            self._load(request, rows[:1])
        except Exception as error:  # a model's errors have no common class
            yield Reply(trouble=type(error).__name__)
            return
        yield Reply()
        start = 0
        for size in request.sizes:
            yield self._scored(request, rows[start : start + size])
            start += size

    def _scored(self, request: Request, vectors: NDArray[np.float32]) -> Reply:
        """Scores of one pass; whatever goes wrong is said, and the next one may go well."""
        try:
            start_s = time.process_time()
            scores = self._score(request, vectors)
            spent_ms = (time.process_time() - start_s) * 1_000
        except Exception as error:  # a model's errors have no common class
            return Reply(trouble=type(error).__name__)
        found = [float(score) if np.isfinite(score) else None for score in scores]
        return Reply(found, spent_ms)

    def _load(self, request: Request, row: NDArray[np.float32]) -> None:
        if request.digest == self._digest:
            return
        self._session, self._digest = None, ""
        path = Path(request.model)
        model = read_plain(path, most_bytes=path.stat().st_size)  # takes so much memory
        if hashlib.sha256(model).hexdigest() != request.digest:
            raise IntegrityError("the model's file is not the one that was asked for")
        self._session = onnx_session(model)
        self._score(request, np.zeros_like(row))  # the first one is slow
        self._digest = request.digest

    def _score(self, request: Request, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        (scores,) = self._session.run([request.gives], {request.takes: vectors})
        flat: NDArray[np.float32] = np.asarray(scores, dtype=np.float32).reshape(-1)
        return flat


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the requests end."""
    host = ShadowHost()
    decoder, encoder = msgspec.json.Decoder(Request), msgspec.json.Encoder()
    for line in requests:
        for reply in host.replies(decoder.decode(line)):
            replies.write(encoder.encode(reply) + b"\n")
            replies.flush()
